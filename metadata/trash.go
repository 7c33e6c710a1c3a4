package metadata

import (
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// throwAway puts the thin device of something that is removed into the trash.
func throwAway(tx *txn, id dmthin.ThinID, from lifecycle.State, size uint64, was string) error {
	if err := move(id, from, lifecycle.Trash); err != nil {
		return err
	}
	return putTrash(tx, Trash{Thin: id, Size: size, Was: was})
}

func putTrash(tx *txn, t Trash) error {
	if t.Since.IsZero() {
		t.Since = time.Now().UTC()
	}
	return put(tx, bucketTrash, thinKey(t.Thin), t)
}

func getTrash(tx *bolt.Tx, id dmthin.ThinID) (t Trash, err error) {
	t.Thin = id
	v := tx.Bucket(bucketTrash).Get(thinKey(id))
	if v == nil {
		return t, fmt.Errorf("%w: thin %s in the trash", ErrNotFound, id)
	}
	return t, decode(bucketTrash, thinKey(id), v, &t)
}

// takeReserved takes a reserved id out of the trash; the caller gives it an owner.
func takeReserved(tx *txn, id dmthin.ThinID, to lifecycle.State) error {
	t, err := getTrash(tx.Tx, id)
	if err != nil || !t.Reserved {
		return fmt.Errorf("%w: thin %s is not reserved", ErrInvalid, id)
	}
	if err := move(id, lifecycle.Reserved, to); err != nil {
		return err
	}
	return tx.Bucket(bucketTrash).Delete(thinKey(id))
}

// Reserve gives a fresh thin id that is kept as reserved trash until ReplaceThin,
// CommitCopy or AddTemplate takes it: whatever happens in between, nothing is left over.
// purpose is for people.
func (c *Catalog) Reserve(size uint64, purpose string) (id dmthin.ThinID, err error) {
	err = c.update(func(tx *txn) error {
		if id, err = tx.allocate(); err != nil {
			return err
		}
		if err := move(id, lifecycle.Unrecorded, lifecycle.Reserved); err != nil {
			return err
		}
		return putTrash(tx, Trash{Thin: id, Size: size, Was: purpose, Reserved: true})
	})
	return id, err
}

// Release makes reserved thin ids ordinary trash: nobody will take them any more.
func (c *Catalog) Release(ids ...dmthin.ThinID) error {
	return c.update(func(tx *txn) error {
		for _, id := range ids {
			t, err := getTrash(tx.Tx, id)
			if err != nil {
				return err
			}
			if err := move(id, t.state(), lifecycle.Trash); err != nil {
				return err
			}
			t.Reserved = false
			if err := putTrash(tx, t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t Trash) state() lifecycle.State {
	if t.Reserved {
		return lifecycle.Reserved
	}
	return lifecycle.Trash
}

// Trash lists what is to be deleted, and what is reserved, in the order of the ids.
func (c *Catalog) Trash() (all []Trash, err error) {
	err = c.view(func(tx *bolt.Tx) error { all, err = trashOf(tx); return err })
	return all, err
}

func trashOf(tx *bolt.Tx) (all []Trash, err error) {
	err = tx.Bucket(bucketTrash).ForEach(func(k, v []byte) error {
		t := Trash{Thin: trashID(k)}
		if err := decode(bucketTrash, k, v, &t); err != nil {
			return err
		}
		all = append(all, t)
		return nil
	})
	return all, err
}

// Forget drops trash entries whose thin devices are deleted. Their ids are free again,
// and come round when the circle does.
func (c *Catalog) Forget(ids ...dmthin.ThinID) error {
	ids = slices.Clone(ids)
	return c.update(func(tx *txn) error {
		for _, id := range ids {
			if tx.Bucket(bucketTrash).Get(thinKey(id)) == nil {
				continue
			}
			if err := tx.Bucket(bucketTrash).Delete(thinKey(id)); err != nil {
				return err
			}
			tx.then(func() { delete(tx.index.taken, id) })
		}
		return nil
	})
}
