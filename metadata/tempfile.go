package metadata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/veneerdm/veneer/internal/durable"
)

// A new catalog is written to a temp file, which its process has locked, and renamed
// when it is complete and on the disk. A crash or a full disk leaves the temp file, which
// the next one writes over.
const tempSuffix = ".making"

// createTemp opens and locks the temp file of a catalog that is to be made. It is nil
// when the catalog exists by now.
func createTemp(path string) (f *os.File, err error) {
	temp := path + tempSuffix
	for {
		f, err = os.OpenFile(temp, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = &LockedError{Path: path, PID: holder(temp)}
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if named, err := os.Stat(temp); err != nil || !os.SameFile(mine, named) {
			// Another process renamed or removed it between the open and the lock.
			if err := f.Close(); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, os.Remove(temp), f.Close())
		}
		if mine.Size() > 0 {
			err = f.Truncate(0)
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(temp), f.Close())
		}
		return f, nil
	}
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// renameTemp gives a complete catalog its name.
func (c *Catalog) renameTemp() error {
	if err := durable.Rename(c.path+tempSuffix, c.path); err != nil {
		return fmt.Errorf("name catalog %s: %w", c.path, err)
	}
	return nil
}
