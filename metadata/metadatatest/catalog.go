package metadatatest

import (
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Catalog is a catalog whose changes can be made to fail.
type Catalog struct {
	*metadata.Catalog
	// Before is asked before every change, with the change's name.
	Before func(change string) error
}

// SetPool asks the hook first.
func (c *Catalog) SetPool(p metadata.Pool) error {
	if err := c.Before("set pool"); err != nil {
		return err
	}
	return c.Catalog.SetPool(p)
}

// Reset asks the hook first.
func (c *Catalog) Reset() error {
	if err := c.Before("reset"); err != nil {
		return err
	}
	return c.Catalog.Reset()
}

// Create asks the hook first.
func (c *Catalog) Create(s metadata.Snapshot, of ...metadata.Snapshot) (metadata.Snapshot, error) {
	if err := c.Before("create"); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.Create(s, of...)
}

// Commit asks the hook first.
func (c *Catalog) Commit(was metadata.Snapshot, name string, change func(*metadata.Snapshot)) (metadata.Snapshot, error) {
	if err := c.Before("commit"); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.Commit(was, name, change)
}

// CommitCopy asks the hook first.
func (c *Catalog) CommitCopy(was metadata.Snapshot, name string, fresh dmthin.ThinID, change func(*metadata.Snapshot)) (metadata.Snapshot, error) {
	if err := c.Before("commit"); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.CommitCopy(was, name, fresh, change)
}

// ReplaceThin asks the hook first.
func (c *Catalog) ReplaceThin(was metadata.Snapshot, fresh dmthin.ThinID, size uint64) (metadata.Snapshot, error) {
	if err := c.Before("replace thin"); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.ReplaceThin(was, fresh, size)
}

// Update asks the hook first.
func (c *Catalog) Update(was metadata.Snapshot, change func(*metadata.Snapshot) error) (metadata.Snapshot, error) {
	if err := c.Before("update"); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.Update(was, change)
}

// Remove asks the hook first.
func (c *Catalog) Remove(was metadata.Snapshot) (metadata.Snapshot, error) {
	if err := c.Before("remove"); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.Remove(was)
}

// Adopt asks the hook first.
func (c *Catalog) Adopt(all []metadata.Snapshot) error {
	if err := c.Before("adopt"); err != nil {
		return err
	}
	return c.Catalog.Adopt(all)
}

// MarkLost asks the hook first.
func (c *Catalog) MarkLost(all ...metadata.Snapshot) error {
	if err := c.Before("mark lost"); err != nil {
		return err
	}
	return c.Catalog.MarkLost(all...)
}

// MarkFound asks the hook first.
func (c *Catalog) MarkFound(all ...metadata.Snapshot) error {
	if err := c.Before("mark found"); err != nil {
		return err
	}
	return c.Catalog.MarkFound(all...)
}

// AddTemplate asks the hook first.
func (c *Catalog) AddTemplate(t metadata.Template) error {
	if err := c.Before("add template"); err != nil {
		return err
	}
	return c.Catalog.AddTemplate(t)
}

// RemoveTemplate asks the hook first.
func (c *Catalog) RemoveTemplate(name string) error {
	if err := c.Before("remove template"); err != nil {
		return err
	}
	return c.Catalog.RemoveTemplate(name)
}

// Reserve asks the hook first.
func (c *Catalog) Reserve(size uint64, purpose string) (dmthin.ThinID, error) {
	if err := c.Before("reserve"); err != nil {
		return 0, err
	}
	return c.Catalog.Reserve(size, purpose)
}

// Release asks the hook first.
func (c *Catalog) Release(ids ...dmthin.ThinID) error {
	if err := c.Before("release"); err != nil {
		return err
	}
	return c.Catalog.Release(ids...)
}

// Forget asks the hook first.
func (c *Catalog) Forget(ids ...dmthin.ThinID) error {
	if err := c.Before("forget"); err != nil {
		return err
	}
	return c.Catalog.Forget(ids...)
}

// PutImage asks the hook first.
func (c *Catalog) PutImage(i metadata.Image) error {
	if err := c.Before("put image"); err != nil {
		return err
	}
	return c.Catalog.PutImage(i)
}

// DeleteImage asks the hook first.
func (c *Catalog) DeleteImage(name string) error {
	if err := c.Before("delete image"); err != nil {
		return err
	}
	return c.Catalog.DeleteImage(name)
}

// SaveAcknowledged asks the hook first.
func (c *Catalog) SaveAcknowledged() error {
	if err := c.Before("save acknowledged"); err != nil {
		return err
	}
	return c.Catalog.SaveAcknowledged()
}

// Open opens a catalog with a fault hook.
func Open(path string, o metadata.Options, before func(change string) error) (*Catalog, error) {
	c, err := metadata.Open(path, o)
	if err != nil {
		return nil, err
	}
	return &Catalog{c, before}, nil
}
