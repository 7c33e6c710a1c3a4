package metadata

import (
	"fmt"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// MaxKeyLen is the longest key of a snapshot in bytes.
const MaxKeyLen = 4096

// validKey refuses what a record could not hold: JSON knows no bytes that are not
// UTF-8, and neither does gRPC.
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

func putSnapshot(tx *txn, s Snapshot) error {
	if err := validLabels(s); err != nil {
		return err
	}
	return put(tx, bucketSnapshots, []byte(s.Key), s)
}

// Get gives one snapshot.
func (c *Catalog) Get(key string) (s Snapshot, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		s, err = getSnapshot(tx, key)
		return err
	})
	return s, err
}

// Snapshots gives all snapshots in the order of their keys, as of one moment.
func (c *Catalog) Snapshots() (all []Snapshot, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
			s := Snapshot{Key: string(k)}
			if err := decode(bucketSnapshots, k, v, &s); err != nil {
				return err
			}
			all = append(all, s)
			return nil
		})
	})
	return all, err
}

// Children gives the keys of the snapshots whose parent is key, in order.
func (c *Catalog) Children(key string) []string { return c.index.childrenOf(key) }

// Create records a snapshot that is about to be made and gives it a fresh thin id,
// or its parent's if it is a view. Its parent, if it has one, must be committed. What it
// is made of, as it was read, must still be there, or it is ErrNotFound.
func (c *Catalog) Create(s Snapshot, of ...Snapshot) (Snapshot, error) {
	if err := validKey(s.Key); err != nil {
		return s, err
	}
	for name, value := range s.Labels {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return s, fmt.Errorf("%w: label %q of %q is not UTF-8", ErrInvalid, name, s.Key)
		}
	}
	create := func(tx *txn) error {
		if tx.Bucket(bucketSnapshots).Get([]byte(s.Key)) != nil {
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
			if parent.Kind != Committed {
				return fmt.Errorf("%w: parent %q is %s and not committed", ErrInvalid, s.Parent, parent.Kind)
			}
			if s.Kind == View {
				s.Thin = parent.Thin
			}
		}
		tx.link(s.Parent, s.Key)
		if s.OwnsThin() {
			var err error
			if s.Thin, err = tx.allocate(); err != nil {
				return err
			}
		}
		if s.State = Creating; s.Created.IsZero() {
			s.Created = c.stamp()
		}
		s.Updated = s.Created
		return putSnapshot(tx, s)
	}
	s.Created = time.Time{}
	err := c.recorder(c)("create", create)
	return s, err
}

// stamp gives the time of making a snapshot, in a transaction. No two are the same, so
// that it tells a snapshot from a later one with the same key.
func (c *Catalog) stamp() time.Time {
	t := c.now().UTC()
	if !t.After(c.stamped) {
		t = c.stamped.Add(1)
	}
	c.stamped = t
	return t
}

// again reads the record of a snapshot that was read before. It is ErrNotFound when the
// snapshot has gone since, even if another one has its key.
func again(tx *txn, was Snapshot) (Snapshot, error) {
	s, err := getSnapshot(tx.Tx, was.Key)
	if err == nil && !s.Created.Equal(was.Created) {
		err = fmt.Errorf("%w: snapshot %q, which was removed; another one has its name", ErrNotFound, was.Key)
	}
	return s, err
}

// Commit turns an active snapshot, as it was read, into a committed one with another
// key. change may set what else the record shall say.
func (c *Catalog) Commit(was Snapshot, name string, change func(*Snapshot)) (Snapshot, error) {
	return c.commit(was, name, nil, change)
}

// CommitCopy is Commit with another thin device, which Reserve had put into the
// trash; the one that the snapshot had goes there instead.
func (c *Catalog) CommitCopy(was Snapshot, name string, fresh dmthin.ThinID, change func(*Snapshot)) (Snapshot, error) {
	return c.commit(was, name, &fresh, change)
}

func (c *Catalog) commit(was Snapshot, name string, fresh *dmthin.ThinID, change func(*Snapshot)) (s Snapshot, err error) {
	key := was.Key
	if err := validKey(name); err != nil {
		return s, err
	}
	err = c.update("commit", func(tx *txn) error {
		if s, err = again(tx, was); err != nil {
			return err
		}
		if s.Kind != Active {
			return fmt.Errorf("%w: snapshot %q is %s and not active", ErrInvalid, key, s.Kind)
		}
		if name != key && tx.Bucket(bucketSnapshots).Get([]byte(name)) != nil {
			return fmt.Errorf("%w: snapshot %q", ErrExists, name)
		}
		if err := tx.Bucket(bucketSnapshots).Delete([]byte(key)); err != nil {
			return err
		}
		tx.unlink(s.Parent, key)
		tx.link(s.Parent, name)
		if fresh != nil {
			if err := takeBack(tx, *fresh); err != nil {
				return err
			}
			if err := c.throwAway(tx, s.Thin, s.Size, key); err != nil {
				return err
			}
			s.Thin = *fresh
		}
		// It is a new snapshot: as such it was made now.
		s.Key, s.Kind, s.State, s.Created = name, Committed, Ready, c.stamp()
		s.Updated = s.Created
		if change != nil {
			change(&s)
		}
		return putSnapshot(tx, s)
	})
	return s, err
}

// Update changes what may change in a snapshot's record: labels, size, state and
// what it adds.
func (c *Catalog) Update(was Snapshot, change func(*Snapshot) error) (s Snapshot, err error) {
	err = c.update("update", func(tx *txn) error {
		if s, err = again(tx, was); err != nil {
			return err
		}
		fixed := s
		if err := change(&s); err != nil {
			return err
		}
		if s.Key != fixed.Key || s.Parent != fixed.Parent || s.Kind != fixed.Kind || s.Thin != fixed.Thin {
			return fmt.Errorf("%w: key, parent, kind and thin id of %q do not change", ErrInvalid, was.Key)
		}
		s.Updated = c.now().UTC()
		return putSnapshot(tx, s)
	})
	return s, err
}

// Remove drops a snapshot's record; its thin device, if it has one, goes to the
// trash. A snapshot with children is ErrInUse.
func (c *Catalog) Remove(was Snapshot) (s Snapshot, err error) {
	key := was.Key
	err = c.update("remove", func(tx *txn) error {
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
		if !s.OwnsThin() {
			return nil
		}
		return c.throwAway(tx, s.Thin, s.Size, key)
	})
	return s, err
}

// ReplaceThin gives an active snapshot another thin device, which Reserve had put
// into the trash, and puts the one it had there instead.
func (c *Catalog) ReplaceThin(was Snapshot, fresh dmthin.ThinID, size uint64) (s Snapshot, err error) {
	key := was.Key
	err = c.update("replace thin", func(tx *txn) error {
		if s, err = again(tx, was); err != nil {
			return err
		}
		if s.Kind != Active {
			return fmt.Errorf("%w: snapshot %q is %s and not active", ErrInvalid, key, s.Kind)
		}
		if err := takeBack(tx, fresh); err != nil {
			return err
		}
		if err := c.throwAway(tx, s.Thin, s.Size, key); err != nil {
			return err
		}
		s.Thin, s.Size, s.State, s.Updated = fresh, size, Ready, c.now().UTC()
		return putSnapshot(tx, s)
	})
	return s, err
}
