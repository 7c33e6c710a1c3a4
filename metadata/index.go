package metadata

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// index is what the records imply and changes ask for: the thin ids that are taken,
// and the children of each snapshot. It is made from the records when a catalog is
// opened. In the file it would be a second truth that can contradict the first, and a
// few more pages to write in every transaction.
type index struct {
	mu       sync.RWMutex
	taken    map[dmthin.ThinID]bool
	foreign  map[dmthin.ThinID]bool // the pool has them and nobody here knows why
	children map[string]map[string]bool
}

func newIndex() *index {
	return &index{taken: map[dmthin.ThinID]bool{}, foreign: map[dmthin.ThinID]bool{}, children: map[string]map[string]bool{}}
}

func (x *index) free(id dmthin.ThinID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return !x.taken[id] && !x.foreign[id]
}

func (x *index) owned(id dmthin.ThinID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.taken[id]
}

func (x *index) childrenOf(key string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Sorted(maps.Keys(x.children[key]))
}

func (x *index) hasChildren(key string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.children[key]) > 0
}

// The rest is called with the lock held, or before anybody else knows the index.

func (x *index) take(id dmthin.ThinID) {
	delete(x.foreign, id)
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
	err := tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
		s := Snapshot{Key: string(k)}
		if err := decode(bucketSnapshots, k, v, &s); err != nil {
			return err
		}
		if s.OwnsThin() {
			x.take(s.Thin)
		}
		x.link(s.Parent, s.Key)
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

// txn is a transaction under way, and what becomes of the index when it is done.
type txn struct {
	*bolt.Tx
	index *index
	later []func()
}

// then is done to the index when the transaction is on the disk.
func (tx *txn) then(f func()) { tx.later = append(tx.later, f) }

func (tx *txn) done() {
	tx.index.mu.Lock()
	defer tx.index.mu.Unlock()
	for _, f := range tx.later {
		f()
	}
}

func (tx *txn) take(id dmthin.ThinID) { tx.then(func() { tx.index.take(id) }) }

func (tx *txn) link(parent, child string) { tx.then(func() { tx.index.link(parent, child) }) }

func (tx *txn) unlink(parent, child string) { tx.then(func() { tx.index.unlink(parent, child) }) }

// allocate takes the next free thin id. The circle is 2^24; as a snapshot raises the
// pool's clock at least as often as an id is taken, a second round never comes in a
// pool that is whole.
func (tx *txn) allocate() (dmthin.ThinID, error) {
	meta := tx.Bucket(bucketMeta)
	var next uint32
	if v := meta.Get(keyNextID); len(v) == 4 {
		next = binary.BigEndian.Uint32(v)
	}
	for range int(dmthin.MaxThinID) + 1 {
		id := dmthin.ThinID(next) & dmthin.MaxThinID
		next = uint32(id) + 1
		if tx.index.free(id) {
			tx.take(id)
			return id, meta.Put(keyNextID, binary.BigEndian.AppendUint32(nil, next))
		}
	}
	return 0, ErrIDs
}

// SkipThins makes sure that ids are not handed out as long as the catalog is open: the
// pool has them and nobody here knows why.
func (c *Catalog) SkipThins(ids []dmthin.ThinID) {
	c.index.mu.Lock()
	defer c.index.mu.Unlock()
	for _, id := range ids {
		if !c.index.taken[id] {
			c.index.foreign[id] = true
		}
	}
}
