package metadata

import (
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

func (c *Catalog) throwAway(tx *txn, id dmthin.ThinID, size uint64, was string) error {
	if c.skipsTrash() {
		tx.then(func() { delete(tx.index.taken, id) })
		return nil
	}
	return c.putTrash(tx, Trash{Thin: id, Size: size, Was: was})
}

func (c *Catalog) putTrash(tx *txn, t Trash) error {
	if t.Since.IsZero() {
		t.Since = c.now().UTC()
	}
	return put(tx, bucketTrash, thinKey(t.Thin), t)
}

// takeBack takes a reserved id out of the trash; the caller gives it an owner.
func takeBack(tx *txn, id dmthin.ThinID) error {
	trash := tx.Bucket(bucketTrash)
	if trash.Get(thinKey(id)) == nil {
		return fmt.Errorf("%w: thin %s is not reserved", ErrInvalid, id)
	}
	return trash.Delete(thinKey(id))
}

// Reserve gives a fresh thin id that is in the trash until ReplaceThin, CommitCopy
// or AddTemplate takes it: whatever happens in between, nothing is left over.
// purpose is for people.
func (c *Catalog) Reserve(size uint64, purpose string) (id dmthin.ThinID, err error) {
	err = c.update("reserve", func(tx *txn) error {
		if id, err = tx.allocate(); err != nil {
			return err
		}
		return c.putTrash(tx, Trash{Thin: id, Size: size, Was: purpose, Reserved: true})
	})
	return id, err
}

// Release makes a reserved thin id ordinary trash: nobody will take it any more.
func (c *Catalog) Release(id dmthin.ThinID) error {
	return c.update("release", func(tx *txn) error { return c.release(tx, thinKey(id)) })
}

// ReleaseAll releases every reservation. It is for a start, when none can be under way.
func (c *Catalog) ReleaseAll() error {
	trash, err := c.Trash()
	if err != nil {
		return err
	}
	trash = slices.DeleteFunc(trash, func(t Trash) bool { return !t.Reserved })
	if len(trash) == 0 {
		return nil
	}
	return c.update("release all", func(tx *txn) error {
		for _, t := range trash {
			if err := c.release(tx, thinKey(t.Thin)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Catalog) release(tx *txn, key []byte) error {
	v := tx.Bucket(bucketTrash).Get(key)
	if v == nil {
		return nil
	}
	t := Trash{Thin: trashID(key)}
	if err := decode(bucketTrash, key, v, &t); err != nil {
		return err
	}
	t.Reserved = false
	return c.putTrash(tx, t)
}

// ThrowAway puts a thin device that no record leads to into the trash, whether
// SkipThins has marked it or not.
func (c *Catalog) ThrowAway(id dmthin.ThinID, size uint64, was string) error {
	return c.update("throw away", func(tx *txn) error {
		if tx.index.owned(id) {
			return fmt.Errorf("%w: thin %s belongs to somebody", ErrInvalid, id)
		}
		tx.take(id)
		return c.throwAway(tx, id, size, was)
	})
}

// Trash lists what is to be deleted, in the order of the ids.
func (c *Catalog) Trash() (all []Trash, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketTrash).ForEach(func(k, v []byte) error {
			t := Trash{Thin: trashID(k)}
			if err := decode(bucketTrash, k, v, &t); err != nil {
				return err
			}
			all = append(all, t)
			return nil
		})
	})
	return all, err
}

// Forget drops trash entries whose thin devices are deleted. Their ids are free
// again, and come round when the circle does.
func (c *Catalog) Forget(ids ...dmthin.ThinID) error {
	return c.update("forget", func(tx *txn) error {
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

// AddTemplate records a formatted template under a thin id that Reserve gave.
func (c *Catalog) AddTemplate(t Template) error {
	return c.update("add template", func(tx *txn) error {
		if tx.Bucket(bucketTemplates).Get([]byte(t.Name)) != nil {
			return fmt.Errorf("%w: template %q", ErrExists, t.Name)
		}
		if err := takeBack(tx, t.Thin); err != nil {
			return err
		}
		return put(tx, bucketTemplates, []byte(t.Name), t)
	})
}

// Templates lists the templates by name.
func (c *Catalog) Templates() (all []Template, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketTemplates).ForEach(func(k, v []byte) error {
			t := Template{Name: string(k)}
			if err := decode(bucketTemplates, k, v, &t); err != nil {
				return err
			}
			all = append(all, t)
			return nil
		})
	})
	return all, err
}

// Template gives one template.
func (c *Catalog) Template(name string) (t Template, err error) {
	t.Name = name
	err = c.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketTemplates).Get([]byte(name))
		if v == nil {
			return fmt.Errorf("%w: template %q", ErrNotFound, name)
		}
		return decode(bucketTemplates, []byte(name), v, &t)
	})
	return t, err
}

// RemoveTemplate drops a template; its thin device goes to the trash.
func (c *Catalog) RemoveTemplate(name string) error {
	return c.update("remove template", func(tx *txn) error {
		v := tx.Bucket(bucketTemplates).Get([]byte(name))
		if v == nil {
			return fmt.Errorf("%w: template %q", ErrNotFound, name)
		}
		var t Template
		if err := decode(bucketTemplates, []byte(name), v, &t); err != nil {
			return err
		}
		if err := tx.Bucket(bucketTemplates).Delete([]byte(name)); err != nil {
			return err
		}
		return c.throwAway(tx, t.Thin, t.Size, "template "+name)
	})
}
