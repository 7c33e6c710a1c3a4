package snapshots

import (
	"context"
	"errors"
	"time"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// reaper gives back what removed snapshots had, in the background. Everything it
// is to do is in the catalog, but for views' devices, which the next start finds.
type reaper struct {
	d     *Driver
	awake chan struct{}
	views chan view
	asked chan chan struct{} // by drain: closed when a pass is over
}

type view struct {
	thin   dmthin.ThinID
	parent string
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

func newReaper(d *Driver) *reaper {
	return &reaper{d: d, awake: make(chan struct{}, 1), views: make(chan view, 1024), asked: make(chan chan struct{})}
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
	select {
	case r.views <- view{thin, parent}:
	default:
		r.d.log.Warn("too many views were removed at once; some devices stay active until the next start")
	}
}

func (r *reaper) run(ctx context.Context) {
	retry := firstRetry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var done chan struct{}
		select {
		case <-ctx.Done():
			return
		case v := <-r.views:
			r.endView(ctx, v)
			continue
		case <-r.awake:
			retry = firstRetry
		case <-timer.C:
		case done = <-r.asked:
		}
		for len(r.views) > 0 {
			r.endView(ctx, <-r.views)
		}
		left := r.pass(ctx)
		if done != nil {
			close(done)
		}
		if left {
			timer.Reset(retry)
			retry = min(2*retry, lastRetry)
		}
	}
}

func (r *reaper) drain(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case r.asked <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batchForget is how many deleted thin devices are dropped from the catalog in one
// transaction: each costs an fsync.
const batchForget = 64

// pass goes through the trash once and reports whether something is left that a
// later pass may succeed with.
func (r *reaper) pass(ctx context.Context) (left bool) {
	d := r.d
	left = d.takeBackAll()
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
			break
		}
		if t.Reserved {
			continue // an operation under way has it
		}
		err := r.delete(ctx, t)
		switch {
		case err == nil:
			if gone = append(gone, t.Thin); len(gone) == batchForget {
				forget()
			}
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
	if err := r.discard(ctx, t); err != nil {
		if errors.Is(err, thinpool.ErrNoThin) {
			return nil // the pool never had it
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

// endView deactivates a committed snapshot's device when no view of it is left.
func (r *reaper) endView(ctx context.Context, v view) {
	d := r.d
	unlock, err := d.thins.Lock(ctx, v.thin)
	if err != nil {
		return // the driver closes
	}
	defer unlock()
	viewed, err := d.viewed(v.thin, v.parent)
	if err == nil && !viewed {
		_, err = d.pool.DeactivateThinDeferred(v.thin)
	}
	if err != nil {
		d.log.WithError(err).WithField("thin", v.thin).Warn("device of a removed view stays active until the next start")
	}
}

// viewed says whether any view shows a thin device.
func (d *Driver) viewed(thin dmthin.ThinID, parent string) (bool, error) {
	if parent == "" { // views of the template
		all, err := d.catalog.Snapshots()
		for _, s := range all {
			if s.Kind == metadata.View && s.Thin == thin {
				return true, err
			}
		}
		return false, err
	}
	for _, key := range d.catalog.Children(parent) {
		if s, err := d.catalog.Get(key); err == nil && s.Kind == metadata.View {
			return true, nil
		}
	}
	return false, nil
}
