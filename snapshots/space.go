package snapshots

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// Admission is the space below which nothing new is made. Removing always works.
type Admission struct {
	// MinFreeData is the part of the data blocks, in percent, that must be free.
	MinFreeData float64
	// MinFreeMetadata is the part of the metadata blocks, in percent, that must be
	// free: a pool whose metadata is full cannot even delete.
	MinFreeMetadata float64
}

// DefaultAdmission keeps what a pool needs to be cleaned up again.
var DefaultAdmission = Admission{MinFreeData: 1, MinFreeMetadata: 5}

// clockReserve is how many snapshots before the end of the pool's 24-bit clock the
// driver stops: the kernel would go on and corrupt the pool.
const clockReserve = 1 << 16

// admit refuses new snapshots while there is too little space. It uses what the
// pool said last, so that it costs nothing.
func (d *Driver) admit() error {
	if t := d.clock.Load(); t > dmthin.MaxTime-clockReserve {
		return fmt.Errorf("%w: %d snapshots were made in this pool, near the kernel's limit of 2^24; move to a new pool", ErrPoolState, t)
	}
	w, err := d.pool.Last()
	if err != nil {
		return err
	}
	if err := w.Writable(); err != nil {
		// It may have been repaired or grown since.
		if w, err = d.pool.Working(); err != nil {
			return err
		}
		if err := w.Writable(); err != nil {
			return err
		}
	}
	low := func(free, total, percent float64) bool { return total > 0 && free < total*percent/100 }
	a := d.config.Admit
	if low(float64(w.TotalData-w.UsedData), float64(w.TotalData), a.MinFreeData) {
		return fmt.Errorf("%w: %d of %d data blocks are used; grow the pool or remove something", ErrNoSpace, w.UsedData, w.TotalData)
	}
	if low(float64(w.TotalMeta-w.UsedMeta), float64(w.TotalMeta), a.MinFreeMetadata) {
		return fmt.Errorf("%w: %d of %d metadata blocks are used; grow the pool's metadata or remove something", ErrNoSpace, w.UsedMeta, w.TotalMeta)
	}
	return nil
}

// restAfterLook is how long watch rests after an event. Every device made or removed
// on the machine is one, the driver's own too, and a busy driver is not to share its
// processor with an onlooker.
const restAfterLook = time.Second

// watch follows the pool's events and tells the log when space runs low or the
// pool changes its mode.
func (d *Driver) watch(ctx context.Context) {
	var last thinpool.Working
	for ctx.Err() == nil {
		if err := d.lookAndWait(ctx, &last); err != nil {
			if ctx.Err() == nil {
				d.log.WithError(err).Warn("this kernel does not tell of pool events, or no longer; space is looked at with every operation")
			}
			return
		}
		select {
		case <-time.After(restAfterLook):
		case <-ctx.Done():
		}
	}
}

// lookAndWait looks at the pool and waits for an event. Events count from before the
// look, so that none is missed; afterwards no descriptor is left for more of them to
// wake this process.
func (d *Driver) lookAndWait(ctx context.Context, last *thinpool.Working) error {
	w, err := d.dm.Watch()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // a descriptor that was only read
	now, err := d.pool.Working()
	if err == nil {
		d.report(*last, now)
		*last = now
	} else if !errors.Is(err, devmapper.ErrNotExist) {
		d.log.WithError(err).Error("pool does not answer")
	}
	return w.Wait(ctx)
}

func (d *Driver) report(last, now thinpool.Working) {
	if now.Mode != last.Mode && now.Mode != thinpool.ModeReadWrite || now.NeedsCheck && !last.NeedsCheck {
		d.log.WithField("mode", string(now.Mode)).WithField("needs_check", now.NeedsCheck).Error("pool does not take writes")
	}
	for _, limit := range []uint64{95, 90, 80} {
		was, is := percent(uint64(last.UsedData), uint64(last.TotalData)), percent(uint64(now.UsedData), uint64(now.TotalData))
		if is >= limit && was < limit {
			d.log.WithField("percent", is).Warn("pool data is filling up; grow the pool or remove something")
			break
		}
	}
}

func percent(part, all uint64) uint64 {
	if all == 0 {
		return 0
	}
	return part * 100 / all
}

// readClock learns how many snapshots the pool has ever made.
func (d *Driver) readClock(m *dmthin.Metadata) { d.clock.Store(m.Superblock().Time) }
