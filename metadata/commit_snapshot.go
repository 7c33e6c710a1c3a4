package metadata

import (
	"errors"
	"fmt"
	"time"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Commit turns an active snapshot, as it was read, into a committed one with another key.
// change may set what else the record shall say. A lost snapshot of that name is replaced:
// its children keep their parent.
func (c *Catalog) Commit(was Snapshot, name string, change func(*Snapshot)) (Snapshot, error) {
	return c.commitSnapshot(was, name, nil, change)
}

// CommitCopy is Commit with another thin device, which Reserve had reserved; the one that
// the snapshot had goes to the trash.
func (c *Catalog) CommitCopy(was Snapshot, name string, fresh dmthin.ThinID, change func(*Snapshot)) (Snapshot, error) {
	return c.commitSnapshot(was, name, &fresh, change)
}

func (c *Catalog) commitSnapshot(was Snapshot, name string, fresh *dmthin.ThinID, change func(*Snapshot)) (s Snapshot, err error) {
	err = c.update(func(tx *txn) error {
		if s, err = activeAgain(tx, was); err != nil {
			return err
		}
		if s.Lost {
			return lost(s.Key)
		}
		if err := makeRoom(tx, s, name); err != nil {
			return err
		}
		if err := tx.Bucket(bucketSnapshots).Delete([]byte(was.Key)); err != nil {
			return err
		}
		tx.unlink(s.Parent, was.Key)
		tx.link(s.Parent, name)
		if fresh != nil {
			err = replaceThin(tx, &s, *fresh, lifecycle.Committed)
		} else {
			err = move(s.Thin, tx.index.stateOf(s), lifecycle.Committed)
		}
		if err != nil {
			return err
		}
		// It is another snapshot: as such it was made now.
		s.Key, s.Kind, s.Created = name, Committed, time.Now().UTC()
		s.Updated = s.Created
		if s.Serial, err = tx.serial(); err != nil {
			return err
		}
		if change != nil {
			change(&s)
		}
		return putSnapshot(tx, s)
	})
	return s, err
}

// makeRoom makes sure that a name is free for a snapshot that is committed, and gives a
// lost one of that name up.
func makeRoom(tx *txn, s Snapshot, name string) error {
	if name == s.Key {
		return nil
	}
	have, err := getSnapshot(tx.Tx, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case !have.Lost || have.Kind != Committed || have.Parent != s.Parent:
		return fmt.Errorf("%w: snapshot %q", ErrExists, name)
	}
	for _, key := range tx.index.childrenOf(name) {
		child, err := getSnapshot(tx.Tx, key)
		if err != nil {
			return err
		}
		if child.Kind != View && child.Size < s.Size {
			return fmt.Errorf("%w: snapshot %q is lost, and its child %q is smaller than what is to replace it", ErrExists, name, key)
		}
	}
	tx.unlink(have.Parent, name)
	return throwAway(tx, have.Thin, lifecycle.Lost, have.Size, name)
}
