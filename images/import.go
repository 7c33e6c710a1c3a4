package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/veneerdm/veneer/snapshots"
)

// ImportOptions change how Import works.
type ImportOptions struct {
	// Name is what the image will be called; default: what the source calls it.
	Name string
	// Platform chooses among the images of an index: "os/architecture[/variant]";
	// default: linux on this machine's processor.
	Platform string
	// Progress hears how it goes.
	Progress Progress
	// Snapshot goes with every snapshot made, such as snapshots.WithLabels.
	Snapshot []snapshots.Option
}

// parallelFetches is how many layers of an image come in at a time over a
// network. From a disk they come one by one, so that the bottom one is there soon.
const parallelFetches = 3

// Import brings an image in, from any source that ParseSource understands, and
// records it. Each layer becomes a committed snapshot called by its ChainID,
// unless there is one already.
//
// A layer's blob is verified before it is applied, and its content before it is
// committed. After an error or a crash, layers that are complete stay, so do
// blobs and beginnings of blobs, and the next Import of the same image goes on
// from there. A name that another image has moves to the new one. Only what can
// never become an image, because a layer is damaged or hostile, goes at once.
//
// It takes at most a few tens of megabytes of memory, whatever the size of the
// layers.
func (s *Store) Import(ctx context.Context, source string, opts ImportOptions) (Record, error) {
	src, err := ParseSource(source)
	if err != nil {
		return Record{}, err
	}
	return s.ImportSource(ctx, src, opts)
}

// ImportSource is Import of a source that has been parsed.
func (s *Store) ImportSource(ctx context.Context, src Source, opts ImportOptions) (Record, error) {
	want, err := parsePlatform(opts.Platform)
	if err != nil {
		return Record{}, err
	}
	p, err := s.openSource(ctx, src)
	if err != nil {
		return Record{}, err
	}
	record, err := s.importFrom(ctx, p, src, want, opts)
	if err = errors.Join(err, p.close()); err != nil {
		return Record{}, fmt.Errorf("import %s: %w", src, err)
	}
	return record, nil
}

func (s *Store) importFrom(ctx context.Context, p provider, src Source, want ocispec.Platform, opts ImportOptions) (_ Record, err error) {
	list, err := p.list(ctx)
	if err != nil {
		return Record{}, err
	}
	chosen, err := choose(src, list)
	if err != nil {
		return Record{}, err
	}
	name, err := recordName(opts.Name, chosen.name, chosen.desc.Digest)
	if err != nil {
		return Record{}, err
	}
	pins := &pinSet{pins: &s.pins}
	defer func() {
		pins.drop()
		if permanent(err, p.remote()) {
			err = errors.Join(err, s.abandon(context.WithoutCancel(ctx), pins.keys))
		}
	}()
	img, err := s.resolve(ctx, p, pins, chosen, want, opts.Platform != "")
	if err != nil {
		return Record{}, err
	}
	for _, l := range img.layers {
		pins.add(l.Digest.String(), l.ChainID.String())
	}
	if err := s.importLayers(ctx, p, name, img.layers, opts); err != nil {
		return Record{}, err
	}
	record := Record{
		Name: name, Manifest: img.manifest, Config: img.config, Platform: img.platform,
		Layers: img.layers, Imported: time.Now().UTC(),
	}
	if img.created.Created != nil {
		record.Created = img.created.Created.UTC()
	}
	return record, s.record(ctx, record)
}

// record stores r. An image that had the name before keeps its record, under its
// digest, while containers stand on it: their commits need it. Else it goes.
func (s *Store) record(ctx context.Context, r Record) error {
	unlock, err := s.nameLocks.Lock(ctx, r.Name)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.catalog.image(r.Name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	replaced := err == nil && old.Manifest.Digest != r.Manifest.Digest
	if replaced {
		if old.Name, err = digestName(old); err != nil {
			return err
		}
		if err := s.catalog.put(old); err != nil {
			return fmt.Errorf("record image %s: %w", old.Name, err)
		}
	}
	if err := s.catalog.put(r); err != nil {
		return fmt.Errorf("record image %s: %w", r.Name, err)
	}
	if !replaced {
		return nil
	}
	if err := s.unused(ctx, old); err != nil {
		if errors.Is(err, ErrInUse) {
			return nil
		}
		return err
	}
	if err := s.catalog.remove(old.Name); err != nil {
		return err
	}
	_, err = s.release(ctx, old)
	return err
}

// digestName is what an image is called that has lost its tag.
func digestName(r Record) (string, error) {
	ref, err := parseReference(r.Name)
	if err != nil {
		return "", err
	}
	return fullName(ref.Context().Digest(r.Manifest.Digest.String())), nil
}

// recordName finds the full name an image is recorded under.
func recordName(given, found string, d digest.Digest) (string, error) {
	switch {
	case given != "":
		return ParseName(given)
	case found == "":
		return "", fmt.Errorf("the source does not say what image %s is called, give it a name: %w", d, ErrInvalidReference)
	}
	name, err := ParseName(found)
	if err != nil {
		return "", fmt.Errorf("the source calls the image %q, which cannot be used, give it another name: %w", found, ErrInvalidReference)
	}
	return name, nil
}

// importLayers fetches and applies layers. While one is applied, the blobs of
// those above come in, and the next one is decompressed as far as its buffers
// reach.
func (s *Store) importLayers(ctx context.Context, p provider, name string, layers []Layer, opts ImportOptions) error {
	rep := newReporter(name, layers, opts.Progress)
	work, ctx := errgroup.WithContext(ctx)
	ready := make([]chan struct{}, len(layers))
	for i := range ready {
		ready[i] = make(chan struct{})
	}
	work.Go(func() error { return s.fetchLayers(ctx, p, layers, rep, ready) })
	ahead := make(chan *pending)
	work.Go(func() error {
		defer close(ahead)
		return s.openLayers(ctx, layers, ready, rep, ahead)
	})
	work.Go(func() error {
		for next := range ahead {
			err := s.ensureLayer(ctx, layers, next, rep, opts.Snapshot)
			if err = errors.Join(err, next.close()); err != nil {
				return fmt.Errorf("layer %d of %d (%s): %w", next.index+1, len(layers), layers[next.index].Digest, err)
			}
		}
		return nil
	})
	return work.Wait()
}

// fetchLayers brings the blobs into the content store, bottom first.
func (s *Store) fetchLayers(ctx context.Context, p provider, layers []Layer, rep *reporter, ready []chan struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(1)
	if p.remote() {
		group.SetLimit(parallelFetches)
	}
	for i, l := range layers {
		group.Go(func() error {
			// The channel is closed only on success: waiters see the context end otherwise.
			desc := ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
			there, err := s.hasBlob(ctx, l.Digest)
			if err != nil {
				return err
			}
			if !there {
				var got int64
				show := rep.meter(i, PhaseDownloading)
				err := s.fetch(ctx, p, desc, func(n int64) {
					got += n
					show(got)
				})
				if err != nil {
					return fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
				}
			}
			close(ready[i])
			return nil
		})
	}
	return group.Wait()
}

// hasBlob says whether a blob that the caller has pinned is there. It takes the blob's
// lock: a removal that began before the blob was pinned has ended then.
func (s *Store) hasBlob(ctx context.Context, d digest.Digest) (bool, error) {
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return false, err
	}
	defer unlock()
	_, err = s.content.Stat(d)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
