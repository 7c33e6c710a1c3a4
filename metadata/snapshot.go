package metadata

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// MaxKeyLen is the longest key of a snapshot in bytes.
const MaxKeyLen = 4096

// validKey refuses what a record could not hold: JSON knows no bytes that are not UTF-8,
// and neither does gRPC.
func validKey(key string) error {
	if len(key) == 0 || len(key) > MaxKeyLen {
		return fmt.Errorf("%w: a key has 1 to %d bytes, this one %d", ErrInvalid, MaxKeyLen, len(key))
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("%w: the key %q is not UTF-8", ErrInvalid, key)
	}
	return nil
}

func getSnapshot(tx *bolt.Tx, key string) (Snapshot, error) {
	s := Snapshot{Key: key}
	v := tx.Bucket(bucketSnapshots).Get([]byte(key))
	if v == nil {
		return s, fmt.Errorf("%w: snapshot %q", ErrNotFound, key)
	}
	return s, decode(bucketSnapshots, []byte(key), v, &s)
}

// putSnapshot writes a record, whatever changed in it.
func putSnapshot(tx *txn, s Snapshot) error {
	if err := validKey(s.Key); err != nil {
		return err
	}
	if err := validLabels(s); err != nil {
		return err
	}
	return put(tx, bucketSnapshots, []byte(s.Key), s)
}

// again reads the record of a snapshot that was read before. It is ErrNotFound when the
// snapshot has gone since, even if another one has its key.
func again(tx *txn, was Snapshot) (Snapshot, error) {
	s, err := getSnapshot(tx.Tx, was.Key)
	if err == nil && s.Serial != was.Serial {
		err = fmt.Errorf("%w: snapshot %q, which was removed; another one has its name", ErrNotFound, was.Key)
	}
	return s, err
}

// Get gives one snapshot. One that is not acknowledged is ErrNotFound.
func (c *Catalog) Get(key string) (s Snapshot, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		s, err = getSnapshot(tx, key)
		return err
	})
	if err == nil && c.index.hidden(s) {
		return Snapshot{}, fmt.Errorf("%w: snapshot %q is still being made", ErrNotFound, key)
	}
	return s, err
}

// Snapshots gives all acknowledged snapshots in the order of their keys, as of one moment.
func (c *Catalog) Snapshots() (all []Snapshot, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		return eachSnapshot(tx, func(s Snapshot) {
			if !c.index.hidden(s) {
				all = append(all, s)
			}
		})
	})
	return all, err
}

func eachSnapshot(tx *bolt.Tx, f func(Snapshot)) error {
	return tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
		s := Snapshot{Key: string(k)}
		if err := decode(bucketSnapshots, k, v, &s); err != nil {
			return err
		}
		f(s)
		return nil
	})
}

// Children gives the keys of the acknowledged snapshots whose parent is key, in order.
func (c *Catalog) Children(key string) []string { return c.index.childrenOf(key) }

// Create records a snapshot that is about to be made and gives it a fresh thin id, or its
// parent's if it is a view. Nobody else sees it until Acknowledge. Its parent, if it has
// one, must be committed, and not lost unless it is a copy of another child. What it is made
// of, as it was read, must still be there, or it is ErrNotFound.
func (c *Catalog) Create(s Snapshot, of ...Snapshot) (Snapshot, error) {
	err := c.update(func(tx *txn) error {
		have, err := getSnapshot(tx.Tx, s.Key)
		switch {
		case err == nil && c.index.hidden(have):
			return fmt.Errorf("%w: snapshot %q is being made", ErrExists, s.Key)
		case err == nil:
			return fmt.Errorf("%w: snapshot %q", ErrExists, s.Key)
		}
		for _, was := range of {
			if _, err := again(tx, was); err != nil {
				return err
			}
		}
		if s.Parent != "" {
			parent, err := getSnapshot(tx.Tx, s.Parent)
			if err != nil {
				return fmt.Errorf("parent: %w", err)
			}
			if err := parentable(parent, copies(s, of)); err != nil {
				return err
			}
			if s.Kind == View {
				s.Thin = parent.Thin
			}
		}
		tx.link(s.Parent, s.Key)
		if s.OwnsThin() {
			if s.Thin, err = tx.allocate(); err != nil {
				return err
			}
			if err := move(s.Thin, lifecycle.Unrecorded, lifecycle.Creating); err != nil {
				return err
			}
		}
		if s.Serial, err = tx.serial(); err != nil {
			return err
		}
		s.Created = time.Now().UTC()
		s.Updated = s.Created
		tx.begin(s)
		return putSnapshot(tx, s)
	})
	return s, err
}

// copies says whether a snapshot is made of another one than its parent, as a clone is.
func copies(s Snapshot, of []Snapshot) bool {
	return slices.ContainsFunc(of, func(o Snapshot) bool { return o.Key != s.Parent })
}

// parentable refuses what can have no children. A copy of a child needs nothing of a
// parent that is lost.
func parentable(parent Snapshot, copied bool) error {
	if parent.Kind != Committed {
		return fmt.Errorf("%w: parent %q is %s and not committed", ErrInvalid, parent.Key, parent.Kind)
	}
	if parent.Lost && !copied {
		return lost(parent.Key)
	}
	return nil
}

func lost(key string) error {
	return fmt.Errorf("%w: the pool has lost what %q held; remove it, or make it again under its name", ErrLost, key)
}

// Update changes what may change in a snapshot's record: its labels and its size.
func (c *Catalog) Update(was Snapshot, change func(*Snapshot) error) (s Snapshot, err error) {
	err = c.update(func(tx *txn) error {
		if s, err = again(tx, was); err != nil {
			return err
		}
		fixed := s
		if err := change(&s); err != nil {
			return err
		}
		if s.Key != fixed.Key || s.Parent != fixed.Parent || s.Kind != fixed.Kind || s.Thin != fixed.Thin ||
			s.Serial != fixed.Serial || s.Lost != fixed.Lost {
			return fmt.Errorf("%w: key, parent, kind and thin id of %q do not change", ErrInvalid, was.Key)
		}
		s.Updated = time.Now().UTC()
		return putSnapshot(tx, s)
	})
	return s, err
}

// Remove drops a snapshot's record, acknowledged or not; its thin device, if it has one,
// goes to the trash. A snapshot with children is ErrInUse.
func (c *Catalog) Remove(was Snapshot) (s Snapshot, err error) {
	key := was.Key
	err = c.update(func(tx *txn) error {
		if s, err = again(tx, was); err != nil {
			return err
		}
		if tx.index.hasChildren(key) {
			return fmt.Errorf("%w: snapshot %q has children", ErrInUse, key)
		}
		if err := tx.Bucket(bucketSnapshots).Delete([]byte(key)); err != nil {
			return err
		}
		tx.unlink(s.Parent, key)
		tx.then(func() { delete(tx.index.inflight, s.Serial) })
		if !s.OwnsThin() {
			return nil
		}
		return throwAway(tx, s.Thin, tx.index.stateOf(s), s.Size, key)
	})
	return s, err
}

// ReplaceThin gives an active snapshot another thin device, which Reserve had reserved,
// and puts the one it had into the trash.
func (c *Catalog) ReplaceThin(was Snapshot, fresh dmthin.ThinID, size uint64) (s Snapshot, err error) {
	err = c.update(func(tx *txn) error {
		if s, err = activeAgain(tx, was); err != nil {
			return err
		}
		if err := replaceThin(tx, &s, fresh, lifecycle.Active); err != nil {
			return err
		}
		s.Size, s.Lost, s.Updated = size, false, time.Now().UTC()
		return putSnapshot(tx, s)
	})
	return s, err
}

func activeAgain(tx *txn, was Snapshot) (Snapshot, error) {
	s, err := again(tx, was)
	if err == nil && s.Kind != Active {
		err = fmt.Errorf("%w: snapshot %q is %s and not active", ErrInvalid, was.Key, s.Kind)
	}
	return s, err
}

// replaceThin exchanges a snapshot's thin device for a reserved one.
func replaceThin(tx *txn, s *Snapshot, fresh dmthin.ThinID, to lifecycle.State) error {
	if err := takeReserved(tx, fresh, to); err != nil {
		return err
	}
	if err := throwAway(tx, s.Thin, tx.index.stateOf(*s), s.Size, s.Key); err != nil {
		return err
	}
	s.Thin = fresh
	return nil
}
