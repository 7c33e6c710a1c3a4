package metadata

import (
	"errors"
	"fmt"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// ahead is how far the file is written before there is anything to write, in bytes:
// enough for about ten thousand snapshots.
const ahead = 8 << 20

// WriteAhead writes zeros behind what the catalog uses. A transaction that puts a page
// into a hole of the file has to wait for the journal of the filesystem below, and one
// that writes over a page only for that page. Without room on the disk nothing happens.
func (c *Catalog) WriteAhead() error {
	c.writing.Lock() // the file grows in a transaction
	defer c.writing.Unlock()
	var used int64
	err := c.view(func(tx *bolt.Tx) error { used = tx.Size(); return nil })
	if err != nil {
		return err
	}
	st, err := c.file.Stat()
	if err != nil {
		return err
	}
	want := st.Size()
	for want < max(ahead, 2*used) {
		want = max(ahead, 2*want)
	}
	if st.Size() == want {
		return nil
	}
	zeros := make([]byte, 256<<10)
	for at := used; at < want && err == nil; {
		n := min(int64(len(zeros)), want-at)
		_, err = c.file.WriteAt(zeros[:n], at)
		at += n
	}
	if err == nil {
		err = c.file.Sync()
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write catalog %s ahead: %w", c.path, err)
	}
	return nil
}
