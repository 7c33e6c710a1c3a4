package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/images/layer"
)

const dockerManifestFile = "manifest.json"

// dockerImage is an entry of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerArchive is a tar as docker save writes it. It has no manifests, so they
// are made up: the same archive always gives the same ones.
type dockerArchive struct {
	*archive
	made   map[digest.Digest][]byte // manifests and configurations
	layers map[digest.Digest]string // blob digest to path
	images []candidate
}

func (s *Store) openDockerArchive(ctx context.Context, name string) (provider, error) {
	a, err := openArchive(name, s.spoolDir())
	if err != nil {
		return nil, err
	}
	d := &dockerArchive{archive: a, made: map[digest.Digest][]byte{}, layers: map[digest.Digest]string{}}
	if err := d.read(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("image archive %q: %w", name, err), a.close())
	}
	return d, nil
}

func (d *dockerArchive) remote() bool { return false }

func (d *dockerArchive) list(context.Context) ([]candidate, error) { return d.images, nil }

// read makes a manifest for each image of the archive.
func (d *dockerArchive) read(ctx context.Context) error {
	var list []dockerImage
	if err := readJSON(d.archive, dockerManifestFile, &list); err != nil {
		return err
	}
	for _, entry := range list {
		desc, err := d.manifest(ctx, entry)
		if err != nil {
			return err
		}
		names := entry.RepoTags
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			d.images = append(d.images, candidate{name: name, desc: desc})
		}
	}
	return nil
}

func (d *dockerArchive) manifest(ctx context.Context, entry dockerImage) (ocispec.Descriptor, error) {
	config, err := d.readAll(entry.Config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var parsed ocispec.Image
	if err := json.Unmarshal(config, &parsed); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("configuration %s is not valid JSON: %w", entry.Config, ErrMalformed)
	}
	if len(parsed.RootFS.DiffIDs) != len(entry.Layers) {
		return ocispec.Descriptor{}, fmt.Errorf("it lists %d layers and its configuration %d: %w",
			len(entry.Layers), len(parsed.RootFS.DiffIDs), ErrMalformed)
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    d.keep(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{},
	}
	for i, path := range entry.Layers {
		l, err := d.layer(ctx, path, parsed.RootFS.DiffIDs[i])
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		m.Layers = append(m.Layers, l)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return d.keep(ocispec.MediaTypeImageManifest, raw), nil
}

// layer describes the blob at path. A plain tar has its DiffID for digest; the
// rare compressed one must be read to know its digest.
func (d *dockerArchive) layer(ctx context.Context, path string, diffID digest.Digest) (ocispec.Descriptor, error) {
	s, err := d.find(path)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("layer %s is missing: %w", path, ErrMalformed)
	}
	start := make([]byte, 6)
	n, err := d.f.ReadAt(start[:min(s.size, int64(len(start)))], s.offset)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID, Size: s.size}
	if form := layer.Form(start[:n]); form != layer.FormTar {
		desc.MediaType += "+" + form
		h := digest.SHA256.Digester()
		if _, err := io.Copy(h.Hash(), contextReader{ctx, io.NewSectionReader(d.f, s.offset, s.size)}); err != nil {
			return ocispec.Descriptor{}, err
		}
		desc.Digest = h.Digest()
	}
	d.layers[desc.Digest] = path
	return desc, nil
}

func (d *dockerArchive) keep(mediaType string, data []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	d.made[desc.Digest] = data
	return desc
}

func (d *dockerArchive) readAll(path string) ([]byte, error) {
	r, err := d.archive.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration %q is missing: %w", path, ErrMalformed)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, indexLimit))
}

func (d *dockerArchive) open(_ context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if data, ok := d.made[desc.Digest]; ok {
		return io.NopCloser(bytes.NewReader(data[min(offset, int64(len(data))):])), nil
	}
	path, ok := d.layers[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, ErrNotFound)
	}
	r, err := d.archive.open(path)
	if err != nil {
		return nil, err
	}
	return skip(r, offset)
}

func (d *dockerArchive) close() error { return d.archive.close() }

// contextReader ends when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
