package thinpool

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// message sends text and makes sure that the pool kept what it did. pool_message
// in drivers/md/dm-thin.c ignores the result of its commit: only the mode that the
// pool is in afterwards tells.
func (p *Pool) message(text string) error {
	if _, err := p.dm.Message(p.self, 0, text); err != nil {
		return absent(err)
	}
	w, err := p.Working()
	if err != nil {
		return fmt.Errorf("%w: after %q: %w", ErrLost, text, err)
	}
	if err := w.Writable(); err != nil {
		return fmt.Errorf("%w: after %q: %w", ErrLost, text, err)
	}
	return nil
}

// CreateThin makes an empty thin device. ErrExist says that the id is taken.
func (p *Pool) CreateThin(id dmthin.ThinID) error {
	return p.message("create_thin " + id.String())
}

// CreateSnapshot makes a thin device that shares all of origin's blocks. When the
// origin is active and writable it is suspended around it: the kernel would take
// the snapshot anyway, of something that is changing. ErrNoThin says that the
// pool has no such origin, ErrExist that the id is taken.
func (p *Pool) CreateSnapshot(id, origin dmthin.ThinID) (err error) {
	for range activationAttempts {
		var live *Live
		if live, err = p.Lookup(origin); err != nil {
			return err
		}
		if live == nil || live.ReadOnly || !live.HasTable {
			return p.CreateSnapshotOfIdle(id, origin)
		}
		sent := false
		err = p.WithSuspended(origin, func() error {
			sent = true
			return p.CreateSnapshotOfIdle(id, origin)
		})
		if sent || !errors.Is(err, devmapper.ErrNotExist) {
			return err
		}
		// A removal at its last close ended just now: there is nothing to suspend.
	}
	return err
}

// CreateSnapshotOfIdle is CreateSnapshot for an origin of which the caller knows
// that it is not active or active read-only, as committed snapshots are.
func (p *Pool) CreateSnapshotOfIdle(id, origin dmthin.ThinID) error {
	return p.message("create_snap " + id.String() + " " + origin.String())
}

// Delete destroys a thin device and all that only it has. ErrBusy says that it is
// active, ErrNoThin that it is gone.
func (p *Pool) Delete(id dmthin.ThinID) error {
	return p.message("delete " + id.String())
}

// SetTransaction moves the pool's transaction id from old to now, if it is old.
func (p *Pool) SetTransaction(old, now dmthin.TransactionID) error {
	return p.message(fmt.Sprintf("set_transaction_id %d %d", old, now))
}

// Grow makes the pool as large as its disks are now, while thin devices are in
// use, and lets a read-only or full pool work again. A pool never shrinks.
func (p *Pool) Grow(s Spec) error {
	p.tables.Lock()
	defer p.tables.Unlock()
	if err := swap(p.dm, p.self, s.table(), devmapper.ReadWrite); err != nil {
		return fmt.Errorf("grow pool %q: %w", p.name, err)
	}
	return nil
}
