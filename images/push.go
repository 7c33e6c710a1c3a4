package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Push sends an image to a registry under the reference to, default: its own name.
// The registry gets the very blobs that came in, and only those it lacks.
func (s *Store) Push(ctx context.Context, ref, to string, progress Progress) error {
	r, err := s.Lookup(ref)
	if err != nil {
		return err
	}
	if to == "" {
		to = r.Name
	}
	target, err := parseReference(to)
	if err != nil {
		return err
	}
	rt, err := s.connect(ctx, target, transport.PushScope)
	if err != nil {
		return fmt.Errorf("push %s: %w", r.Name, err)
	}
	rep := newReporter(r.Name, r.Layers, progress)
	image, err := partial.CompressedToImage(&stored{store: s, record: r, rep: rep})
	if err != nil {
		return fmt.Errorf("push %s: %w", r.Name, err)
	}
	err = remote.Write(target, image, remote.WithContext(ctx), remote.WithTransport(rt))
	if err != nil {
		return fmt.Errorf("push %s: %w", r.Name, registryError(target, err))
	}
	for i := range r.Layers {
		rep.report(i, PhaseDone, 0)
	}
	return nil
}

// stored shows an image of the content store to the registry client.
type stored struct {
	store  *Store
	record Record
	rep    *reporter
}

func (i *stored) MediaType() (types.MediaType, error) {
	return types.MediaType(i.record.Manifest.MediaType), nil
}

func (i *stored) RawManifest() ([]byte, error) {
	return i.store.content.Read(i.record.Manifest.Digest)
}

func (i *stored) RawConfigFile() ([]byte, error) {
	return i.store.content.Read(i.record.Config.Digest)
}

func (i *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for n, l := range i.record.Layers {
		if l.Digest.String() == h.String() {
			return &storedLayer{image: i, index: n, layer: l}, nil
		}
	}
	return nil, fmt.Errorf("layer %s: %w", h, ErrNotFound)
}

type storedLayer struct {
	image *stored
	index int
	layer Layer
}

func (l *storedLayer) Digest() (v1.Hash, error) { return v1.NewHash(l.layer.Digest.String()) }

func (l *storedLayer) DiffID() (v1.Hash, error) { return v1.NewHash(l.layer.DiffID.String()) }

func (l *storedLayer) Size() (int64, error) { return l.layer.Size, nil }

func (l *storedLayer) MediaType() (types.MediaType, error) {
	return types.MediaType(l.layer.MediaType), nil
}

// Compressed opens the blob. The client calls it again when it has to resend.
func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	f, err := l.image.store.content.Open(l.layer.Digest)
	if err != nil {
		return nil, err
	}
	return &upload{f: f, show: l.image.rep.meter(l.index, PhaseUploading)}, nil
}

// upload reports how much of a blob has been sent.
type upload struct {
	f    *os.File
	sent int64
	show func(int64)
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.f.Read(p)
	u.sent += int64(n)
	u.show(u.sent)
	return n, err
}

func (u *upload) Close() error {
	err := u.f.Close()
	if errors.Is(err, os.ErrClosed) { // the HTTP client closes bodies more than once
		return nil
	}
	return err
}
