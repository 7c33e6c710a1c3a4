package snapshots

import (
	"context"
	"time"
)

// saveAfter is how long an acknowledgement may be known to this process alone. Most are
// written by the next snapshot's transaction before that; a pause costs one transaction,
// however many were acknowledged.
const saveAfter = 5 * time.Second

// saver writes down in quiet moments which snapshots were acknowledged. Without it the
// last one before a long pause would look as if its maker had died.
type saver struct{ awake chan struct{} }

func newSaver() *saver { return &saver{make(chan struct{}, 1)} }

// wake says that something was acknowledged. It never waits.
func (s *saver) wake() {
	select {
	case s.awake <- struct{}{}:
	default:
	}
}

func (s *saver) run(ctx context.Context, d *Driver) {
	for {
		select {
		case <-s.awake:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(saveAfter):
		case <-ctx.Done():
			return // Close writes it
		}
		if err := d.catalog.SaveAcknowledged(); err != nil {
			d.log.WithError(err).Warn("acknowledgements cannot be recorded yet")
		}
	}
}
