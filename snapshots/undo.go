package snapshots

import (
	"errors"
	"fmt"
	"sync"

	"github.com/veneerdm/veneer/metadata"
)

// leftovers are snapshots that could not be made and whose records could not be dropped
// either. They were never acknowledged, so nobody sees them; the reaper, the next one
// whom they are in the way of or the next start drops them.
type leftovers struct {
	mu  sync.Mutex
	all map[uint64]metadata.Snapshot // by serial
}

func (l *leftovers) add(s metadata.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[uint64]metadata.Snapshot{}
	}
	l.all[s.Serial] = s
}

func (l *leftovers) list() []metadata.Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]metadata.Snapshot, 0, len(l.all))
	for _, s := range l.all {
		all = append(all, s)
	}
	return all
}

func (l *leftovers) drop(s metadata.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, s.Serial)
}

// undo takes back a snapshot that could not be made: its record goes, its thin device,
// if there is one by now, is trash.
func (d *Driver) undo(s metadata.Snapshot, cause error) error {
	if err := d.takeBack(s); err != nil {
		d.leftovers.add(s)
		d.reaper.wake()
		return fmt.Errorf("%w; taking it back: %w; that is tried again", cause, err)
	}
	return cause
}

func (d *Driver) takeBack(s metadata.Snapshot) error {
	if _, err := d.catalog.Remove(s); err != nil && !errors.Is(err, metadata.ErrNotFound) {
		return err
	}
	d.leftovers.drop(s)
	if s.Kind == metadata.View {
		d.reaper.unview(s.Thin, s.Parent)
	}
	d.reaper.wake() // its thin device, if there is one by now, is trash
	return nil
}

// takeBackAll tries again to drop what could not be dropped, and says whether there was
// something and whether something is left.
func (d *Driver) takeBackAll() (some, left bool) {
	for _, s := range d.leftovers.list() {
		some = true
		if err := d.takeBack(s); err != nil {
			d.log.WithError(err).WithField("key", s.Key).Warn("a snapshot that could not be made cannot be dropped yet")
			left = true
		}
	}
	return some, left
}

// create records a snapshot that is about to be made. What could not be dropped before
// is not in its way.
func (d *Driver) create(s metadata.Snapshot, of ...metadata.Snapshot) (metadata.Snapshot, error) {
	made, err := d.catalog.Create(s, of...)
	if errors.Is(err, metadata.ErrExists) {
		if some, _ := d.takeBackAll(); some {
			return d.catalog.Create(s, of...)
		}
	}
	return made, err
}

// acknowledge makes a snapshot visible to everybody: its maker is answered now.
func (d *Driver) acknowledge(s metadata.Snapshot) {
	d.catalog.Acknowledge(s)
	d.saver.wake()
}
