package metadata

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Pool gives the pool's record, or ErrNotFound when none was made.
func (c *Catalog) Pool() (p Pool, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketMeta).Get(keyPool)
		if v == nil {
			return fmt.Errorf("%w: pool", ErrNotFound)
		}
		return decode(bucketMeta, keyPool, v, &p)
	})
	return p, err
}

// SetPool records the pool.
func (c *Catalog) SetPool(p Pool) error {
	return c.update(func(tx *txn) error {
		return put(tx, bucketMeta, keyPool, p)
	})
}

// PutImage stores an image's record.
func (c *Catalog) PutImage(i Image) error {
	if i.Name == "" {
		return fmt.Errorf("%w: an image without a name", ErrInvalid)
	}
	return c.update(func(tx *txn) error {
		return tx.Bucket(bucketImages).Put([]byte(i.Name), seal(bucketImages, []byte(i.Name), i.Record))
	})
}

// Image gives one image's record.
func (c *Catalog) Image(name string) (i Image, err error) {
	i.Name = name
	err = c.view(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketImages).Get([]byte(name))
		if v == nil {
			return fmt.Errorf("%w: image %q", ErrNotFound, name)
		}
		data, err := unseal(bucketImages, []byte(name), v)
		i.Record = append(i.Record, data...)
		return err
	})
	return i, err
}

// Images gives all images' records by name.
func (c *Catalog) Images() (all []Image, err error) {
	err = c.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketImages).ForEach(func(k, v []byte) error {
			data, err := unseal(bucketImages, k, v)
			all = append(all, Image{Name: string(k), Record: append([]byte(nil), data...)})
			return err
		})
	})
	return all, err
}

// DeleteImage drops an image's record.
func (c *Catalog) DeleteImage(name string) error {
	return c.update(func(tx *txn) error {
		if tx.Bucket(bucketImages).Get([]byte(name)) == nil {
			return fmt.Errorf("%w: image %q", ErrNotFound, name)
		}
		return tx.Bucket(bucketImages).Delete([]byte(name))
	})
}

// Reset makes the catalog as new: the pool is gone, and with it all that was in it.
func (c *Catalog) Reset() error {
	return c.update(func(tx *txn) error {
		for _, b := range buckets[1:] {
			if err := tx.DeleteBucket(b); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(b); err != nil {
				return err
			}
		}
		for _, key := range [][]byte{keyAcknowledged, keyClock} {
			if err := tx.Bucket(bucketMeta).Delete(key); err != nil {
				return err
			}
		}
		tx.then(func() {
			clear(tx.index.taken)
			clear(tx.index.children)
			clear(tx.index.inflight)
			tx.index.last, tx.index.saved, tx.index.clock = 0, 0, 0
		})
		return tx.Bucket(bucketMeta).Delete(keyPool)
	})
}
