package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/snapshots"
)

// pending is a layer whose blob is there. stream is nil when the layer's snapshot
// was found to exist.
type pending struct {
	index  int
	stream *layer.Stream
	blob   *os.File
}

func (p *pending) close() error {
	if p.stream == nil {
		return nil
	}
	return errors.Join(p.stream.Close(), p.blob.Close())
}

// openLayers sends the layers on, bottom first, each as soon as its blob is there
// and already being decompressed. It is one ahead of the receiver.
func (s *Store) openLayers(ctx context.Context, layers []Layer, ready []chan struct{}, rep *reporter, out chan<- *pending) error {
	for i, l := range layers {
		select {
		case <-ready[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		next := &pending{index: i}
		there, err := s.hasLayer(ctx, l)
		if err == nil && !there {
			err = s.openLayer(ctx, l, next)
		}
		if err != nil {
			return err
		}
		select {
		case out <- next:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), next.close())
		}
	}
	return nil
}

func (s *Store) openLayer(ctx context.Context, l Layer, p *pending) error {
	blob, err := s.content.Open(l.Digest)
	if err != nil {
		return err
	}
	p.blob, p.stream = blob, layer.Decompress(ctx, blob, s.limits)
	return nil
}

// ensureLayer makes the committed snapshot of a layer unless it exists.
func (s *Store) ensureLayer(ctx context.Context, layers []Layer, p *pending, rep *reporter, opts []snapshots.Option) error {
	l := layers[p.index]
	unlock, err := s.layerLocks.Lock(ctx, l.ChainID.String())
	if err != nil {
		return err
	}
	defer unlock()
	there, err := s.hasLayer(ctx, l)
	if err != nil {
		return err
	}
	if there {
		rep.report(p.index, PhaseExists, l.Size)
		return nil
	}
	if p.stream == nil { // it was there a moment ago
		if err := s.openLayer(ctx, l, p); err != nil {
			return err
		}
	}
	parent := ""
	if p.index > 0 {
		parent = layers[p.index-1].ChainID.String()
	}
	show := rep.meter(p.index, PhaseApplying)
	show(0)
	if err := s.applyLayer(ctx, l, parent, p.stream, show, opts); err != nil {
		return err
	}
	rep.report(p.index, PhaseDone, l.Size)
	return nil
}

// hasLayer says whether a layer's snapshot exists. One whose content the pool has lost does
// not: it is made again, and takes the place of the lost one.
func (s *Store) hasLayer(ctx context.Context, l Layer) (bool, error) {
	info, err := s.snapshots.Stat(ctx, l.ChainID.String())
	if errors.Is(err, snapshots.ErrNotFound) {
		return false, nil
	}
	return err == nil && !info.Lost, err
}

// applyLayer applies a layer to a new snapshot of its parent and commits it. The
// caller holds the layer's lock, so a snapshot with the import key is what a
// crash left behind.
func (s *Store) applyLayer(ctx context.Context, l Layer, parent string, stream *layer.Stream, show func(int64), opts []snapshots.Option) (err error) {
	key := importKey(l.ChainID)
	m, err := s.prepareAnew(ctx, key, parent, opts)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard(ctx, key))
		}
	}()
	if err := s.fill(ctx, m, l, stream, show); err != nil {
		return err
	}
	err = s.snapshots.Commit(ctx, l.ChainID.String(), key, opts...)
	if errors.Is(err, snapshots.ErrExists) {
		if there, look := s.hasLayer(ctx, l); !there {
			return errors.Join(err, look)
		}
		return s.discard(ctx, key) // another program with the same driver was faster
	}
	return err
}

// fill applies the layer to a mounted snapshot and verifies what was applied.
func (s *Store) fill(ctx context.Context, m snapshots.Mount, l Layer, stream *layer.Stream, show func(int64)) error {
	tree, err := s.mount(ctx, m)
	if err != nil {
		return err
	}
	r := progressReader{r: stream, show: func() { show(stream.Consumed()) }}
	_, err = layer.Apply(ctx, tree, r, layer.ApplyOptions{Limits: s.limits, Warn: s.warn})
	if err == nil && stream.DiffID() != l.DiffID {
		err = fmt.Errorf("its content has digest %s and not %s, as the configuration says: %w",
			stream.DiffID(), l.DiffID, ErrDigestMismatch)
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = tooLarge(tree, err)
	}
	err = errors.Join(err, tree.Close())
	if _, ok := errors.AsType[syscall.Errno](err); ok && !errors.Is(err, ErrTooLarge) {
		err = s.explain(ctx, err)
	}
	return err
}

// tooLarge tells a full filesystem from a full pool: both say ENOSPC.
func tooLarge(tree Tree, err error) error {
	var st syscall.Statfs_t
	if syscall.Fstatfs(tree.FD(), &st) != nil || st.Bavail > st.Blocks/64 && st.Ffree > 0 {
		return err
	}
	size := st.Blocks * uint64(st.Bsize)
	return class.Wrap(fmt.Errorf("%w: its filesystem of %s is too small; import the image with a larger --size", err, bytesize.Format(size)), ErrTooLarge)
}

// prepareAnew prepares a snapshot, in place of one that a crash has left.
func (s *Store) prepareAnew(ctx context.Context, key, parent string, opts []snapshots.Option) (snapshots.Mount, error) {
	m, err := s.snapshots.Prepare(ctx, key, parent, opts...)
	if !errors.Is(err, snapshots.ErrExists) {
		return m, err
	}
	if err := s.snapshots.Remove(ctx, key); err != nil {
		return m, err
	}
	return s.snapshots.Prepare(ctx, key, parent, opts...)
}

// discard removes a snapshot of an operation that failed, even when it failed
// because its context ended.
func (s *Store) discard(ctx context.Context, key string) error {
	err := s.snapshots.Remove(context.WithoutCancel(ctx), key)
	if errors.Is(err, snapshots.ErrNotFound) {
		return nil
	}
	return err
}

// progressReader calls show as it is read.
type progressReader struct {
	r    io.Reader
	show func()
}

func (p progressReader) Read(b []byte) (int, error) {
	p.show()
	return p.r.Read(b)
}
