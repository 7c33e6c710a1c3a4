package snapshots

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// reaper gives back what removed snapshots had, in the background. Everything it is to do
// is in the catalog, but for views' devices, which the next start finds.
type reaper struct {
	d     *Driver
	awake chan struct{}
	asked chan chan bool // by drain: told whether a pass came to its end

	mu    sync.Mutex
	views map[dmthin.ThinID]string // with the parents: a view of it is gone
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

func newReaper(d *Driver) *reaper {
	return &reaper{d: d, awake: make(chan struct{}, 1), asked: make(chan chan bool), views: map[dmthin.ThinID]string{}}
}

// wake says that there is trash. It never waits.
func (r *reaper) wake() {
	select {
	case r.awake <- struct{}{}:
	default:
	}
}

// unview says that a view is gone: its device goes if it was the last one.
func (r *reaper) unview(thin dmthin.ThinID, parent string) {
	r.mu.Lock()
	r.views[thin] = parent
	r.mu.Unlock()
	r.wake()
}

func (r *reaper) run(ctx context.Context) {
	retry := firstRetry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var answer chan bool
		select {
		case <-ctx.Done():
			return
		case <-r.awake:
			retry = firstRetry
		case <-timer.C:
		case answer = <-r.asked:
		}
		left := r.pass(ctx)
		if answer != nil {
			answer <- ctx.Err() == nil // it has room
		}
		if left {
			timer.Reset(retry)
			retry = min(2*retry, lastRetry)
		}
	}
}

// drain has a pass made and waits for its end, for ctx or until no operation is let in. A
// pass that is interrupted, as by a Deactivate that then fails, is asked for again.
func (r *reaper) drain(ctx context.Context) error {
	gate := &r.d.gate
	shut := gate.whenShut()
	for {
		answer := make(chan bool, 1)
		select {
		case r.asked <- answer:
		case <-ctx.Done():
			return ctx.Err()
		case <-shut:
			return gate.why()
		}
		select {
		case whole := <-answer:
			if whole {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-shut:
			return gate.why()
		}
	}
}

// batchForget is how many deleted thin devices are dropped from the catalog in one
// transaction: each costs an fsync.
const batchForget = 64

// pass goes through the trash once and reports whether something is left that a
// later pass may succeed with.
func (r *reaper) pass(ctx context.Context) (left bool) {
	d := r.d
	views := r.endViews(ctx)
	_, left = d.takeBackAll()
	left = left || views
	trash, err := d.catalog.Trash()
	if err != nil {
		d.log.WithError(err).Error("trash cannot be read")
		return true
	}
	var gone []dmthin.ThinID
	forget := func() {
		if len(gone) == 0 {
			return
		}
		if err := d.catalog.Forget(gone...); err != nil {
			d.log.WithError(err).Error("deleted snapshots stay in the trash")
			left = true
		}
		gone = gone[:0]
	}
	for _, t := range trash {
		if ctx.Err() != nil {
			left = true
			break
		}
		if err := d.catalog.Err(); err != nil {
			// What the list says may be no more than what the page cache shows.
			d.log.WithError(err).Error("nothing is deleted any more")
			return true
		}
		if t.Reserved {
			continue // an operation in flight has it
		}
		err := r.delete(ctx, t)
		switch {
		case err == nil:
			if gone = append(gone, t.Thin); len(gone) == batchForget {
				forget()
			}
		case ctx.Err() != nil:
			left = true
		case errors.Is(err, devmapper.ErrBusy):
			d.log.WithField("thin", t.Thin).WithField("was", t.Was).Debug("removed snapshot is still held by somebody")
			left = true
		default:
			d.log.WithError(err).WithField("thin", t.Thin).WithField("was", t.Was).Warn("removed snapshot cannot be deleted yet")
			left = true
		}
	}
	forget()
	return left
}

// delete gives back one thin device: deactivate, discard so that the space goes
// back to whatever is below the pool, delete. A deletion alone discards nothing.
func (r *reaper) delete(ctx context.Context, t metadata.Trash) error {
	d := r.d
	unlock, err := d.thins.Lock(ctx, t.Thin)
	if err != nil {
		return err
	}
	defer unlock()
	live, err := d.pool.Lookup(t.Thin)
	if err != nil {
		return err
	}
	if live != nil && live.Suspended {
		if err := d.pool.ResumeThin(t.Thin); err != nil {
			return err
		}
	}
	if live != nil && live.OpenCount > 0 {
		if !live.Deferred {
			if gone, err := d.pool.DeactivateThinDeferred(t.Thin); err != nil || !gone {
				return errors.Join(err, devmapper.ErrBusy)
			}
		} else {
			return devmapper.ErrBusy
		}
	}
	if err := r.discard(ctx, t); err != nil && !errors.Is(err, thinpool.ErrNoThin) {
		if ctx.Err() != nil {
			return err // the next start goes on
		}
		// The space stays with the disk below until its blocks are used again.
		d.log.WithError(err).WithField("thin", t.Thin).Info("discard of a removed snapshot")
	}
	if err := d.pool.DeactivateThin(t.Thin); err != nil {
		return err
	}
	if err := d.pool.Delete(t.Thin); err != nil && !errors.Is(err, thinpool.ErrNoThin) {
		return err
	}
	return nil
}

func (r *reaper) discard(ctx context.Context, t metadata.Trash) error {
	if w, err := r.d.pool.Last(); err != nil || w.Discard != "discard_passdown" {
		return err // nothing below would hear of it, and the deletion frees the blocks
	}
	live, err := r.d.pool.ActivateThin(t.Thin, t.Size, devmapper.ReadWrite)
	if err != nil {
		return err
	}
	return r.d.host.Discard(ctx, live.Path())
}

// endViews deactivates the devices of committed snapshots of which no view is left, and
// says whether some are left to be tried again.
func (r *reaper) endViews(ctx context.Context) (left bool) {
	r.mu.Lock()
	views := r.views
	r.views = map[dmthin.ThinID]string{}
	r.mu.Unlock()
	for thin, parent := range views {
		err := r.endView(ctx, thin, parent)
		if err == nil {
			continue
		}
		left = true
		r.mu.Lock()
		r.views[thin] = parent
		r.mu.Unlock()
		if ctx.Err() == nil {
			r.d.log.WithError(err).WithField("thin", thin).Warn("device of a removed view cannot be taken away yet")
		}
	}
	return left
}

func (r *reaper) endView(ctx context.Context, thin dmthin.ThinID, parent string) error {
	d := r.d
	unlock, err := d.thins.Lock(ctx, thin)
	if err != nil {
		return err
	}
	defer unlock()
	viewed, err := d.catalog.Viewed(thin, parent)
	if err == nil && !viewed {
		_, err = d.pool.DeactivateThinDeferred(thin)
	}
	return err
}
