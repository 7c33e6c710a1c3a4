package metadata

import (
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Thin is what the catalog says of one thin id.
type Thin struct {
	ID     dmthin.ThinID
	State  lifecycle.State
	Name   string // the snapshot's key, the template's name, or what the trash was
	Size   uint64 // bytes
	Viewed bool   // a view shows it
	// Snapshot is the record of a snapshot.
	Snapshot Snapshot
}

// Thins gives every thin id that a record names, in order, as of one moment, snapshots
// that are not acknowledged included. Views name no id of their own.
func (c *Catalog) Thins() (all []Thin, err error) {
	viewed := map[dmthin.ThinID]bool{}
	err = c.view(func(tx *bolt.Tx) error {
		err := eachSnapshot(tx, func(s Snapshot) {
			if s.Kind == View {
				viewed[s.Thin] = true
				return
			}
			all = append(all, Thin{ID: s.Thin, State: c.index.stateOf(s), Name: s.Key, Size: s.Size, Snapshot: s})
		})
		if err != nil {
			return err
		}
		templates, err := templatesOf(tx)
		if err != nil {
			return err
		}
		for _, t := range templates {
			all = append(all, Thin{ID: t.Thin, State: lifecycle.Template, Name: t.Name, Size: t.Size})
		}
		trash, err := trashOf(tx)
		for _, t := range trash {
			all = append(all, Thin{ID: t.Thin, State: t.state(), Name: t.Was, Size: t.Size})
		}
		return err
	})
	for i := range all {
		all[i].Viewed = viewed[all[i].ID]
	}
	slices.SortFunc(all, func(a, b Thin) int { return int(a.ID) - int(b.ID) })
	return all, err
}

// InFlight gives the records of snapshots that are not acknowledged, views included.
func (c *Catalog) InFlight() (all []Snapshot, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		return eachSnapshot(tx, func(s Snapshot) {
			if c.index.hidden(s) {
				all = append(all, s)
			}
		})
	})
	return all, err
}

// Viewed says whether any view shows a thin device, which is that of a committed snapshot
// or, without a parent, of a template. Views that are not acknowledged count.
func (c *Catalog) Viewed(id dmthin.ThinID, parent string) (viewed bool, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		if parent == "" {
			return eachSnapshot(tx, func(s Snapshot) { viewed = viewed || s.Kind == View && s.Thin == id })
		}
		for _, key := range c.index.allChildrenOf(parent) {
			if s, err := getSnapshot(tx, key); err == nil && s.Kind == View && s.Thin == id {
				viewed = true
				break // one is enough: every removal of a view asks
			}
		}
		return nil
	})
	return viewed, err
}

// MarkLost records of snapshots that the pool has lost their thin devices.
func (c *Catalog) MarkLost(all ...Snapshot) error { return c.mark(true, all) }

// MarkFound records of lost snapshots that the pool has their thin devices again.
func (c *Catalog) MarkFound(all ...Snapshot) error { return c.mark(false, all) }

func (c *Catalog) mark(lost bool, all []Snapshot) error {
	return c.update(func(tx *txn) error {
		for _, was := range all {
			s, err := again(tx, was)
			if err != nil {
				return err
			}
			if s.Lost == lost {
				continue
			}
			if !s.OwnsThin() {
				return fmt.Errorf("%w: %q is a view and has no thin device to lose", ErrInvalid, s.Key)
			}
			from := tx.index.stateOf(s)
			s.Lost = lost
			if err := move(s.Thin, from, tx.index.stateOf(s)); err != nil {
				return err
			}
			if err := putSnapshot(tx, s); err != nil {
				return err
			}
		}
		return nil
	})
}
