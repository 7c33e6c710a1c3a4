package thinpool

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// ReadMetadata calls f with the pool's own metadata as it is at this moment: the
// kernel holds a copy of the roots meanwhile, so that f reads something that does
// not change while the pool works on. One caller at a time; the others wait. When ctx
// ends, waiting ends, and so does reading: f's next read fails with the context's error.
// The kernel's copy is given back in any case. It wants a kernel from 4.4 on: before
// that, metadata snapshots could corrupt a pool.
func (p *Pool) ReadMetadata(ctx context.Context, f func(*dmthin.Metadata) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.snapshot <- struct{}{}:
		defer func() { <-p.snapshot }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the metadata of pool %s: %w", p.name, ctx.Err())
	}
	w, err := p.Working()
	if err != nil {
		return err
	}
	if w.Writable() != nil {
		// A read-only pool takes no messages, and its metadata does not change: what
		// is on the disk is what it goes by.
		return p.read(ctx, f, dmthin.Open)
	}
	if err := p.reserveSnapshot(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.releaseSnapshot()) }()
	if w, err = p.Last(); err != nil { // the message asked
		return err
	}
	return p.read(ctx, f, func(r io.ReaderAt) (*dmthin.Metadata, error) { return dmthin.OpenSnapshot(r, w.HeldRoot) })
}

// reserveSnapshot takes the metadata snapshot, and releaseSnapshot gives it back. One
// that could not be given back, or of which nobody knows whether it was taken, is given
// back before the next: the kernel has room for one.
func (p *Pool) reserveSnapshot() error {
	if p.unreleased {
		if err := p.releaseSnapshot(); err != nil {
			return err
		}
	}
	err := p.message("reserve_metadata_snap")
	p.unreleased = err == nil || errors.Is(err, ErrLost)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("hold the metadata of pool %s: %w", p.name, err)
	if p.unreleased {
		err = errors.Join(err, p.releaseSnapshot())
	}
	return err
}

func (p *Pool) releaseSnapshot() error {
	err := p.message("release_metadata_snap")
	if err != nil && !errors.Is(err, devmapper.ErrInvalid) { // what it says when there is none
		return fmt.Errorf("release the metadata of pool %s: %w", p.name, err)
	}
	p.unreleased = false
	return nil
}

// Verify reads all of the metadata that is on a disk, or in a file, and that no pool
// has active. Anything that is not as the kernel writes it is ErrDamaged; when ctx ends
// first the error is the context's alone.
func Verify(ctx context.Context, path string) error {
	file, err := dmthin.OpenDirect(path)
	if err != nil {
		return err
	}
	m, err := dmthin.Open(contextReader{ctx, file})
	if err == nil {
		err = m.Verify(ctx)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = fmt.Errorf("verify the metadata on %s: %w", path, ctx.Err())
	default:
		err = fmt.Errorf("%w: %s: %w; nothing was written; \"veneer pool repair\" makes a good copy of what can be read", ErrDamaged, path, err)
	}
	return errors.Join(err, file.Close())
}

// read opens the metadata device past the page cache: the kernel writes past it
// too, so a cached block may be an older one.
func (p *Pool) read(ctx context.Context, f func(*dmthin.Metadata) error, open func(io.ReaderAt) (*dmthin.Metadata, error)) error {
	file, err := dmthin.OpenDirect(p.metadata)
	if err != nil {
		return err
	}
	m, err := open(contextReader{ctx, file})
	if err == nil {
		err = f(m)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("read the metadata of pool %s: %w", p.name, err)
	}
	return nil
}

// contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	r   io.ReaderAt
}

func (c contextReader) ReadAt(b []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(b, off)
}
