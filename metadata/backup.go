package metadata

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a copy of the catalog as of one moment, which Open opens. Changes go on
// meanwhile: the copy is made to an unlinked file beside the catalog first, so that a slow
// w keeps no transaction open, for which bbolt would let a growing file wait.
func (c *Catalog) Backup(w io.Writer) (err error) {
	if err := c.SaveAcknowledged(); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), ".backup-")
	if err != nil {
		return fmt.Errorf("copy catalog %s: %w", c.path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	err = c.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("copy catalog %s: %w", c.path, err)
	}
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("write the copy of catalog %s: %w", c.path, err)
	}
	return nil
}
