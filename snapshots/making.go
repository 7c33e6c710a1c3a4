package snapshots

import (
	"errors"
	"fmt"
	"sync"

	"github.com/veneerdm/veneer/metadata"
)

// unfinished are the snapshots that are not there for anybody: those being made, and
// those that could not be made and whose records could not be dropped either.
type unfinished struct {
	mu     sync.Mutex
	making map[string]*attempt          // by key; each attempt has its own mark
	failed map[string]metadata.Snapshot // some of them
	back   sync.Mutex                   // held by whoever takes one back
}

type attempt struct{ _ byte } // not of size 0: two of those may have one address

func (u *unfinished) has(key string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.making[key] != nil
}

func (u *unfinished) failures() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.failed) > 0
}

func (u *unfinished) keys() map[string]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make(map[string]bool, len(u.making))
	for key := range u.making {
		all[key] = true
	}
	return all
}

// making marks a key whose snapshot is not acknowledged yet: until the function it
// gives is called, the snapshot is not there for anybody else.
func (d *Driver) making(key string) (made func(), err error) {
	if err := d.takeBack(key); err != nil {
		return nil, err
	}
	u := &d.unfinished
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.making[key] != nil {
		return nil, fmt.Errorf("%w: it is being made", ErrExists)
	}
	if u.making == nil {
		u.making, u.failed = map[string]*attempt{}, map[string]metadata.Snapshot{}
	}
	mine := &attempt{}
	u.making[key] = mine
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if _, failed := u.failed[key]; !failed && u.making[key] == mine {
			delete(u.making, key)
		}
	}, nil
}

// get gives the record of a snapshot that is there.
func (d *Driver) get(key string) (metadata.Snapshot, error) {
	hidden := d.unfinished.has(key)
	s, err := d.catalog.Get(key)
	if hidden || d.unfinished.has(key) { // it may have come into the catalog meanwhile
		return metadata.Snapshot{}, fmt.Errorf("%w: snapshot %q is still being made", ErrNotFound, key)
	}
	return s, err
}

// undo gives up a snapshot that could not be made: its record goes, its thin device,
// if there is one by now, is trash. Should the catalog refuse, the snapshot stays out
// of sight, and the reaper, the next one who wants the key or the next start drops it.
func (d *Driver) undo(s metadata.Snapshot, cause error) error {
	u := &d.unfinished
	u.mu.Lock()
	u.failed[s.Key] = s
	u.mu.Unlock()
	if err := d.takeBack(s.Key); err != nil {
		d.reaper.wake()
		return fmt.Errorf("%w; taking it back: %w; that is tried again", cause, err)
	}
	return cause
}

// takeBack drops the record of a snapshot that could not be made, if there is one.
func (d *Driver) takeBack(key string) error {
	u := &d.unfinished
	u.back.Lock()
	defer u.back.Unlock()
	u.mu.Lock()
	s, failed := u.failed[key]
	u.mu.Unlock()
	if !failed {
		return nil
	}
	if _, err := d.catalog.Remove(s); err != nil && !errors.Is(err, metadata.ErrNotFound) {
		return err
	}
	u.mu.Lock()
	delete(u.failed, key)
	delete(u.making, key)
	u.mu.Unlock()
	if s.Kind == metadata.View {
		d.reaper.unview(s.Thin, s.Parent)
	}
	d.reaper.wake() // its thin device, if there is one by now, is trash
	return nil
}

// takeBackAll is takeBack of all, and says whether some are left.
func (d *Driver) takeBackAll() (left bool) {
	u := &d.unfinished
	u.mu.Lock()
	var keys []string
	for key := range u.failed {
		keys = append(keys, key)
	}
	u.mu.Unlock()
	for _, key := range keys {
		if err := d.takeBack(key); err != nil {
			d.log.WithError(err).WithField("key", key).Warn("a snapshot that could not be made cannot be dropped yet")
			left = true
		}
	}
	return left
}
