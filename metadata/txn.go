package metadata

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// txn is a transaction in progress, and what becomes of the index when it is on the disk
// or is given up.
type txn struct {
	*bolt.Tx
	index    *index
	onDone   []func()
	onGiveUp []func()
}

// then is done to the index when the transaction is on the disk.
func (tx *txn) then(f func()) { tx.onDone = append(tx.onDone, f) }

func (tx *txn) done() {
	tx.index.mu.Lock()
	defer tx.index.mu.Unlock()
	for _, f := range tx.onDone {
		f()
	}
}

func (tx *txn) abandon() {
	tx.index.mu.Lock()
	defer tx.index.mu.Unlock()
	for _, f := range tx.onGiveUp {
		f()
	}
}

func (tx *txn) take(id dmthin.ThinID) { tx.then(func() { tx.index.take(id) }) }

func (tx *txn) link(parent, child string) { tx.then(func() { tx.index.link(parent, child) }) }

func (tx *txn) unlink(parent, child string) { tx.then(func() { tx.index.unlink(parent, child) }) }

// move refuses what no transition of a thin device does.
func move(id dmthin.ThinID, from, to lifecycle.State) error {
	if from != to && !lifecycle.Allowed(from, to) {
		return fmt.Errorf("%w: thin %s is %s and cannot become %s", ErrInvalid, id, from, to)
	}
	return nil
}

// serial gives a snapshot the number that tells it from every other, also from a later
// one with its key.
func (tx *txn) serial() (uint64, error) {
	n, err := tx.Bucket(bucketSnapshots).NextSequence()
	tx.then(func() { tx.index.last = max(tx.index.last, n) })
	return n, err
}

// begin hides a snapshot until it is acknowledged. Whoever reads the record finds it
// hidden already, so that happens before the transaction is on the disk.
func (tx *txn) begin(s Snapshot) {
	tx.index.mu.Lock()
	defer tx.index.mu.Unlock()
	tx.index.inflight[s.Serial] = s.Key
	tx.onGiveUp = append(tx.onGiveUp, func() { delete(tx.index.inflight, s.Serial) })
}

// saveAcknowledged writes down which snapshots are acknowledged, in the page that the
// next free id is in: it goes along with a transaction that writes that page anyway.
func (tx *txn) saveAcknowledged() error {
	serial, unsaved := tx.index.acknowledged()
	if !unsaved {
		return nil
	}
	tx.then(func() { tx.index.saved = max(tx.index.saved, serial) })
	return putNumber(tx, keyAcknowledged, serial)
}

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
		if !tx.index.free(id) {
			continue
		}
		tx.take(id)
		if err := tx.tick(); err != nil {
			return 0, err
		}
		if err := tx.saveAcknowledged(); err != nil {
			return 0, err
		}
		return id, meta.Put(keyNextID, binary.BigEndian.AppendUint32(nil, next))
	}
	return 0, ErrIDs
}

// tick counts a thin device that is about to be made.
func (tx *txn) tick() error {
	tx.index.mu.RLock()
	clock := tx.index.clock + 1
	tx.index.mu.RUnlock()
	tx.then(func() { tx.index.clock = max(tx.index.clock, clock) })
	return putNumber(tx, keyClock, uint64(clock))
}
