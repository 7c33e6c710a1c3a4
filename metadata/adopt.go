package metadata

import (
	"encoding/binary"
	"fmt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Adopt records snapshots with the thin ids that they have, in a catalog that does
// not know them: it is how a lost catalog is made again. Ids that are handed out
// afterwards are larger. All are recorded, or none is.
func (c *Catalog) Adopt(all []Snapshot) error {
	return c.update("adopt", func(tx *txn) error {
		next := uint32(0)
		seen := map[dmthin.ThinID]bool{}
		for _, s := range all {
			if err := validKey(s.Key); err != nil {
				return err
			}
			if tx.Bucket(bucketSnapshots).Get([]byte(s.Key)) != nil {
				return fmt.Errorf("%w: snapshot %q", ErrExists, s.Key)
			}
			if tx.index.owned(s.Thin) || seen[s.Thin] {
				return fmt.Errorf("%w: thin %s belongs to somebody", ErrExists, s.Thin)
			}
			seen[s.Thin] = true
			tx.take(s.Thin)
			tx.link(s.Parent, s.Key)
			s.State, s.Created = Ready, c.now().UTC()
			s.Updated = s.Created
			if err := putSnapshot(tx, s); err != nil {
				return err
			}
			next = max(next, uint32(s.Thin)+1)
		}
		next &= uint32(dmthin.MaxThinID)
		return tx.Bucket(bucketMeta).Put(keyNextID, binary.BigEndian.AppendUint32(nil, next))
	})
}
