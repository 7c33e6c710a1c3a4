package thinpool

import (
	"context"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// ReadMetadata calls f with the pool's own metadata as it is at this moment: the
// kernel holds a copy of the roots meanwhile, so that f reads something that does
// not change while the pool works on. One caller at a time; others wait or give up
// with ctx. It wants a kernel from 4.4 on: before that, metadata snapshots could
// corrupt a pool.
func (p *Pool) ReadMetadata(ctx context.Context, f func(*dmthin.Metadata) error) (err error) {
	p.snap.Lock()
	defer p.snap.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	w, err := p.Working()
	if err != nil {
		return err
	}
	if w.Writable() != nil {
		// A read-only pool takes no messages, and its metadata does not change: what
		// is on the disk is what it goes by.
		return p.read(f, func(file *dmthin.DirectFile) (*dmthin.Metadata, error) { return dmthin.Open(file) })
	}
	if err := p.hold(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.letGo()) }()
	if w, err = p.Last(); err != nil { // the message asked
		return err
	}
	return p.read(f, func(file *dmthin.DirectFile) (*dmthin.Metadata, error) {
		return dmthin.OpenSnapshot(file, w.HeldRoot)
	})
}

// hold takes a metadata snapshot, and letGo gives it back. One that could not be given
// back, or of which nobody knows whether it was taken, is given back before the next:
// the kernel has room for one.
func (p *Pool) hold() error {
	if p.held {
		if err := p.letGo(); err != nil {
			return err
		}
	}
	err := p.message("reserve_metadata_snap")
	p.held = err == nil || errors.Is(err, ErrLost)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("hold the metadata of pool %s: %w", p.name, err)
	if p.held {
		err = errors.Join(err, p.letGo())
	}
	return err
}

func (p *Pool) letGo() error {
	err := p.message("release_metadata_snap")
	if err != nil && !errors.Is(err, devmapper.ErrInvalid) { // what it says when there is none
		return fmt.Errorf("release the metadata of pool %s: %w", p.name, err)
	}
	p.held = false
	return nil
}

// verify reads all of the metadata of a pool that is not active yet. The kernel reads
// a block when it needs it, and by then has written others.
func verify(dm *devmapper.Client, s Spec) error {
	name, err := devmapper.NewName(s.Name)
	if err != nil {
		return err
	}
	if info, err := dm.Info(devmapper.ByName(name)); !errors.Is(err, devmapper.ErrNotExist) && (err != nil || info.Active) {
		return err // the kernel has it
	}
	return Verify(context.Background(), s.Metadata.Path)
}

// Verify reads all of the metadata that is on a disk, or in a file, and that no pool
// has active. Anything that is not as the kernel writes it is ErrDamaged.
func Verify(ctx context.Context, path string) error {
	file, err := dmthin.OpenDirect(path)
	if err != nil {
		return err
	}
	m, err := dmthin.Open(file)
	if err == nil {
		err = m.Verify(ctx)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %s: %w; nothing was written; \"veneer pool repair\" makes a good copy of what can be read", ErrDamaged, path, err)
	}
	return errors.Join(err, file.Close())
}

// read opens the metadata device past the page cache: the kernel writes past it
// too, so a cached block may be an older one.
func (p *Pool) read(f func(*dmthin.Metadata) error, open func(*dmthin.DirectFile) (*dmthin.Metadata, error)) error {
	file, err := dmthin.OpenDirect(p.metadata)
	if err != nil {
		return err
	}
	m, err := open(file)
	if err == nil {
		err = f(m)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("read the metadata of pool %s: %w", p.name, err)
	}
	return nil
}
