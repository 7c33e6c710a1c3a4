package metadata

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// index is what the records imply and changes ask for: the thin ids that are taken, the
// children of each snapshot, and which snapshots are not acknowledged. It is made from
// the records when a catalog is opened. In the file it would be a second copy that can
// contradict the first, and a few more pages to write in every transaction.
type index struct {
	mu       sync.RWMutex
	taken    map[dmthin.ThinID]bool
	unknown  map[dmthin.ThinID]bool // the pool has them and no record does
	children map[string]map[string]bool

	// inflight has the serials of snapshots that are not acknowledged, with their keys.
	// Nobody but who makes one sees it.
	inflight map[uint64]string
	last     uint64 // the highest serial that was given
	saved    uint64 // up to which serial the file says that all are acknowledged
	clock    uint32 // see Catalog.SetClock
}

func newIndex() *index {
	return &index{
		taken: map[dmthin.ThinID]bool{}, unknown: map[dmthin.ThinID]bool{},
		children: map[string]map[string]bool{}, inflight: map[uint64]string{},
	}
}

func (x *index) free(id dmthin.ThinID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return !x.taken[id] && !x.unknown[id]
}

func (x *index) owned(id dmthin.ThinID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.taken[id]
}

// childrenOf gives the keys of the acknowledged children, in order.
func (x *index) childrenOf(key string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	hidden := map[string]bool{}
	for _, key := range x.inflight {
		hidden[key] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(x.children[key])), func(key string) bool { return hidden[key] })
}

// allChildrenOf gives the keys of all children, those that are not acknowledged too.
func (x *index) allChildrenOf(key string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.children[key]))
}

func (x *index) hasChildren(key string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.children[key]) > 0
}

// hidden says whether a snapshot, as it was read, is not acknowledged yet.
func (x *index) hidden(s Snapshot) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, hidden := x.inflight[s.Serial]
	return hidden
}

func (x *index) acknowledge(serial uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.inflight, serial)
}

// acknowledged is the serial up to which all snapshots are acknowledged, and unsaved
// says that the file does not know.
func (x *index) acknowledged() (serial uint64, unsaved bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	serial = x.last
	for s := range x.inflight {
		serial = min(serial, s-1)
	}
	return serial, serial > x.saved
}

// The rest is called with the lock held, or before anybody else knows the index.

func (x *index) take(id dmthin.ThinID) {
	delete(x.unknown, id)
	x.taken[id] = true
}

func (x *index) link(parent, child string) {
	if parent == "" {
		return
	}
	if x.children[parent] == nil {
		x.children[parent] = map[string]bool{}
	}
	x.children[parent][child] = true
}

func (x *index) unlink(parent, child string) {
	delete(x.children[parent], child)
	if len(x.children[parent]) == 0 {
		delete(x.children, parent)
	}
}

// read makes the index of what a transaction sees.
func (x *index) read(tx *bolt.Tx) error {
	x.saved = number(tx, keyAcknowledged)
	x.clock = uint32(number(tx, keyClock))
	x.last = tx.Bucket(bucketSnapshots).Sequence()
	err := tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
		s := Snapshot{Key: string(k)}
		if err := decode(bucketSnapshots, k, v, &s); err != nil {
			return err
		}
		if s.OwnsThin() {
			x.take(s.Thin)
		}
		x.link(s.Parent, s.Key)
		if s.Serial > x.saved && s.Kind != Committed && !s.Lost {
			x.inflight[s.Serial] = s.Key
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = tx.Bucket(bucketTemplates).ForEach(func(k, v []byte) error {
		var t Template
		if err := decode(bucketTemplates, k, v, &t); err != nil {
			return err
		}
		x.take(t.Thin)
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketTrash).ForEach(func(k, _ []byte) error {
		x.take(trashID(k))
		return nil
	})
}

// number reads a number of the catalog's own, 0 if it has none.
func number(tx *bolt.Tx, key []byte) uint64 {
	if v := tx.Bucket(bucketMeta).Get(key); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func putNumber(tx *txn, key []byte, n uint64) error {
	return tx.Bucket(bucketMeta).Put(key, binary.BigEndian.AppendUint64(nil, n))
}
