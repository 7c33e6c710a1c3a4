package metadata

import (
	"encoding/binary"

	"github.com/veneerdm/veneer/lifecycle"
)

// upgradable is the older format that Open rewrites: its records have no serials, and
// nothing says which of them were acknowledged.
const upgradable = 2

// upgrade gives all records serials, as acknowledged ones, in one transaction.
func (c *Catalog) upgrade() error {
	return c.update(func(tx *txn) error {
		var all []Snapshot
		err := tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
			s := Snapshot{Key: string(k)}
			all = append(all, s)
			return decode(bucketSnapshots, k, v, &all[len(all)-1])
		})
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Serial, err = tx.Bucket(bucketSnapshots).NextSequence(); err != nil {
				return err
			}
			if err := putSnapshot(tx, s); err != nil {
				return err
			}
		}
		if err := putNumber(tx, keyAcknowledged, tx.Bucket(bucketSnapshots).Sequence()); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(keyVersion, binary.BigEndian.AppendUint32(nil, formatVersion))
	})
}

// stateOf is the state of a snapshot's thin device.
func (x *index) stateOf(s Snapshot) lifecycle.State {
	switch {
	case s.Lost:
		return lifecycle.Lost
	case s.Kind == Committed:
		return lifecycle.Committed
	case x.hidden(s):
		return lifecycle.Creating
	}
	return lifecycle.Active
}
