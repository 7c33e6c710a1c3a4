package metadata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A catalog comes into the world whole: it is made under another name, which the
// process that makes it has locked, and gets its own when it is on the disk. What a
// crash or a full disk leaves under the other name is written over by the next.
const unborn = ".making"

// conceive gives the file in which a catalog is to be made, or nil when there is a
// file of that name by now.
func conceive(path string) (f *os.File, err error) {
	for {
		f, err = os.OpenFile(path+unborn, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = &LockedError{Path: path, PID: holder(path + unborn)}
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if named, err := os.Stat(path + unborn); err != nil || !os.SameFile(mine, named) {
			// Somebody was quicker: it has its own name, or was given up.
			if err := f.Close(); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, os.Remove(path+unborn), f.Close())
		}
		if mine.Size() > 0 {
			err = f.Truncate(0)
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(path+unborn), f.Close())
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

// deliver gives a catalog that is whole its name.
func (c *Catalog) deliver() error {
	if err := os.Rename(c.path+unborn, c.path); err != nil {
		return fmt.Errorf("name catalog %s: %w", c.path, err)
	}
	folder, err := os.Open(filepath.Dir(c.path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
