package metadata

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/lifecycle"
)

// AddTemplate records a formatted template under a thin id that Reserve gave.
func (c *Catalog) AddTemplate(t Template) error {
	return c.update(func(tx *txn) error {
		if tx.Bucket(bucketTemplates).Get([]byte(t.Name)) != nil {
			return fmt.Errorf("%w: template %q", ErrExists, t.Name)
		}
		if err := takeReserved(tx, t.Thin, lifecycle.Template); err != nil {
			return err
		}
		return put(tx, bucketTemplates, []byte(t.Name), t)
	})
}

// Templates lists the templates by name.
func (c *Catalog) Templates() (all []Template, err error) {
	err = c.view(func(tx *bolt.Tx) error { all, err = templatesOf(tx); return err })
	return all, err
}

func templatesOf(tx *bolt.Tx) (all []Template, err error) {
	err = tx.Bucket(bucketTemplates).ForEach(func(k, v []byte) error {
		t := Template{Name: string(k)}
		if err := decode(bucketTemplates, k, v, &t); err != nil {
			return err
		}
		all = append(all, t)
		return nil
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
	return c.update(func(tx *txn) error {
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
		return throwAway(tx, t.Thin, lifecycle.Template, t.Size, "template "+name)
	})
}
