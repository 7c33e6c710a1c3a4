package snapshots

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/thinpool"
)

const (
	// pollInterval is how long watch rests after an event. Every device made or removed on
	// the machine is one, the driver's own too.
	pollInterval = time.Second
	// retryFirst and retryLongest bound the pause before the next attempt when events
	// cannot be waited for. The pool's status is read before each.
	retryFirst   = time.Second
	retryLongest = time.Minute
)

// watch follows the pool's events until ctx ends, and logs when space runs low or the pool
// changes its mode. Where the kernel has no events to wait for, it ends at once.
func (d *Driver) watch(ctx context.Context) {
	m := poolMonitor{dm: d.dm, pool: d.pool, log: d.log}
	for retry := retryFirst; ctx.Err() == nil; {
		err := m.pollAndWait(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && m.lacksEvents(err) {
			d.log.WithError(err).Warn("this kernel has no pool events; space is looked at with every operation")
			return
		}
		pause := pollInterval
		if err != nil {
			pause, retry = retry, min(2*retry, retryLongest)
		} else {
			retry = retryFirst
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// poolMonitor logs changes of a pool's state, each once.
type poolMonitor struct {
	dm   *devmapper.Client
	pool *thinpool.Pool
	log  logrus.FieldLogger

	last       thinpool.Working // observed when the pool last answered
	unanswered bool             // the pool did not answer when it was last asked
	waitFails  bool             // events could not be waited for the last time
}

// pollAndWait reads the pool's status and waits for an event. Events count from before the
// status, so that none is missed; afterwards no descriptor is left for more of them to
// wake this process. The status is read although events cannot be waited for.
func (m *poolMonitor) pollAndWait(ctx context.Context) error {
	w, err := m.dm.Watch()
	m.poll()
	if err == nil {
		err = errors.Join(w.Wait(ctx), w.Close())
	}
	switch {
	case ctx.Err() != nil:
	case err == nil && m.waitFails:
		m.waitFails = false
		m.log.Info("pool events are noticed again")
	case err != nil && !m.waitFails && !m.lacksEvents(err):
		m.waitFails = true
		m.log.WithError(err).Warn("pool events cannot be waited for; the pool's status is read now and then until they can")
	}
	return err
}

// lacksEvents tells an error that will stay from one that may pass: the kernel's interface
// is too old, or the client is closed. A missing control node may come.
func (m *poolMonitor) lacksEvents(err error) bool {
	if errors.Is(err, devmapper.ErrClosed) {
		return true
	}
	can, unknown := m.dm.HasEvents()
	return errors.Is(err, devmapper.ErrNotSupported) && unknown == nil && !can
}

func (m *poolMonitor) poll() {
	now, err := m.pool.Working()
	if err != nil {
		if !m.unanswered && !errors.Is(err, devmapper.ErrNotExist) {
			m.log.WithError(err).Error("pool does not answer")
		}
		m.unanswered = true
		return
	}
	if m.unanswered {
		m.unanswered = false
		m.log.Info("pool answers again")
	}
	m.report(now)
	m.last = now
}

// fillLimits are the percentages of used blocks at which a warning is logged, once each
// time one is reached.
var fillLimits = []uint64{95, 90, 80}

func (m *poolMonitor) report(now thinpool.Working) {
	last := m.last
	writable := func(w thinpool.Working) bool { return w.Mode == thinpool.ModeReadWrite && !w.NeedsCheck }
	state := m.log.WithField("mode", string(now.Mode)).WithField("needs_check", now.NeedsCheck)
	switch {
	case now.Mode != last.Mode && now.Mode != thinpool.ModeReadWrite || now.NeedsCheck && !last.NeedsCheck:
		state.Error("pool does not take writes")
	case writable(now) && last.Mode != "" && !writable(last):
		state.Info("pool takes writes again")
	}
	for _, part := range []struct {
		name                             string
		lastUsed, lastTotal, used, total uint64
	}{
		{"data", uint64(last.UsedData), uint64(last.TotalData), uint64(now.UsedData), uint64(now.TotalData)},
		{"metadata", uint64(last.UsedMeta), uint64(last.TotalMeta), uint64(now.UsedMeta), uint64(now.TotalMeta)},
	} {
		was, is := percent(part.lastUsed, part.lastTotal), percent(part.used, part.total)
		for _, limit := range fillLimits {
			if is >= limit && was < limit {
				m.log.WithField("percent", is).Warn(fmt.Sprintf("pool %s is filling up; grow the pool or remove something", part.name))
				break
			}
		}
	}
}

func percent(part, all uint64) uint64 {
	if all == 0 {
		return 0
	}
	return part * 100 / all
}
