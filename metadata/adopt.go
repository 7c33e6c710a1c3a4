package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Adopt records snapshots with the thin ids that they have in the pool and that no
// record names, or that were reserved when the catalog was copied. Ids that are handed
// out afterwards are larger. All are recorded, or none is.
func (c *Catalog) Adopt(all []Snapshot) error {
	return c.update(func(tx *txn) error {
		meta := tx.Bucket(bucketMeta)
		next := uint32(0)
		if v := meta.Get(keyNextID); len(v) == 4 {
			next = binary.BigEndian.Uint32(v)
		}
		seen := map[dmthin.ThinID]bool{}
		for _, s := range all {
			if _, err := getSnapshot(tx.Tx, s.Key); !errors.Is(err, ErrNotFound) {
				return errors.Join(err, fmt.Errorf("%w: snapshot %q", ErrExists, s.Key))
			}
			if err := tx.disown(s.Thin); err != nil || seen[s.Thin] {
				return errors.Join(err, fmt.Errorf("%w: thin %s belongs to somebody", ErrExists, s.Thin))
			}
			seen[s.Thin] = true
			tx.take(s.Thin)
			tx.link(s.Parent, s.Key)
			var err error
			if s.Serial, err = tx.serial(); err != nil {
				return err
			}
			s.Created = time.Now().UTC()
			s.Updated = s.Created
			if err := putSnapshot(tx, s); err != nil {
				return err
			}
			next = max(next, uint32(s.Thin)+1)
		}
		if err := tx.saveAdopted(); err != nil {
			return err
		}
		return meta.Put(keyNextID, binary.BigEndian.AppendUint32(nil, next&uint32(dmthin.MaxThinID)))
	})
}

// disown makes an id free that nobody has or that is reserved.
func (tx *txn) disown(id dmthin.ThinID) error {
	if !tx.index.owned(id) {
		return move(id, lifecycle.Unrecorded, lifecycle.Active)
	}
	return takeReserved(tx, id, lifecycle.Active)
}

// saveAdopted writes down that everything up to now is acknowledged, and the clock.
func (tx *txn) saveAdopted() error {
	serial := tx.Bucket(bucketSnapshots).Sequence()
	tx.index.mu.RLock()
	for s := range tx.index.inflight {
		serial = min(serial, s-1)
	}
	clock := tx.index.clock
	tx.index.mu.RUnlock()
	tx.then(func() { tx.index.saved = max(tx.index.saved, serial) })
	return errors.Join(putNumber(tx, keyAcknowledged, serial), putNumber(tx, keyClock, uint64(clock)))
}
