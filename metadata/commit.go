package metadata

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// update runs f in a transaction and commits it. bbolt's own Update would answer a
// panic with a scan of the file in a goroutine, where the next one ends the process.
func (c *Catalog) update(f func(*txn) error) error {
	// bbolt lets the next writer in before tx.done.
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	begun, err := c.db.Begin(true)
	if err != nil {
		return err
	}
	tx := &txn{Tx: begun, index: c.index}
	err = guarded(func() error { return f(tx) })
	if err != nil {
		tx.abandon()
		return errors.Join(err, tx.Rollback())
	}
	id := uint64(tx.ID())
	panicked := true
	err = guarded(func() error {
		err := tx.Commit()
		panicked = false
		return err
	})
	switch {
	case err == nil:
	case panicked:
		// The transaction's lock is never given back: nothing more is written.
		c.stuck.Store(true)
		return c.fail(err)
	default:
		if err := c.settle(id, err); err != nil {
			tx.abandon()
			return err
		}
	}
	tx.done()
	return nil
}

// Err is nil as long as the catalog can be believed. After its disk has refused a flush
// nobody knows whether the disk has what the page cache shows: every change and every
// read answers this error until the catalog is opened again.
func (c *Catalog) Err() error {
	if err := c.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes every later change and read answer err.
func (c *Catalog) fail(err error) error {
	err = fmt.Errorf("%w; nothing more is recorded until the catalog %s is opened again", err, c.path)
	c.broken.Store(&err)
	return err
}

// settle finds out what became of a transaction whose commit went wrong. When its
// header was not written nothing has happened. When it was, the kernel shows it, but
// has perhaps dropped it, and counts it as written from then on (mm/filemap.c,
// file_check_and_advance_wb_err): the next transaction would overwrite pages that the
// header on the disk still leads to. So it is written again, until it is there.
func (c *Catalog) settle(id uint64, cause error) error {
	newest, b, err := c.newestHeader()
	if err == nil && newest.txid < id {
		return cause
	}
	if err == nil {
		err = c.rewrite(newest, b)
	}
	if err == nil {
		return nil // the change is on the disk after all
	}
	return c.fail(fmt.Errorf("%w: the disk of the catalog took a change and did not keep it, perhaps: %w", ErrDisk, errors.Join(cause, err)))
}

func (c *Catalog) newestHeader() (newest header, page []byte, err error) {
	size := c.db.Info().PageSize
	for slot := range 2 {
		b := make([]byte, size)
		if _, err := c.file.ReadAt(b, int64(slot*size)); err != nil {
			return newest, nil, err
		}
		if h, ok := parseHeader(b[pageHeader:]); ok && (page == nil || h.txid > newest.txid) {
			newest, page = h, b
		}
	}
	if page == nil {
		return newest, nil, damaged("both header pages of %s are damaged", c.path)
	}
	return newest, page, nil
}

func (c *Catalog) rewrite(h header, page []byte) error {
	if _, err := c.file.WriteAt(page, int64(h.txid%2)*h.pageSize); err != nil {
		return err
	}
	return syscall.Fdatasync(int(c.file.Fd()))
}

// confirm makes sure that the header that the kernel shows is the one on the disk.
// They differ after a process died whose settle could not write it.
func (c *Catalog) confirm() (err error) {
	size := c.db.Info().PageSize
	if size%dmthin.MetaBlockSize != 0 {
		return nil // past the cache only blocks of this size can be read
	}
	newest, page, err := c.newestHeader()
	if err != nil {
		return err
	}
	direct, err := dmthin.OpenDirect(c.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, direct.Close()) }()
	onDisk := make([]byte, size)
	if _, err := direct.ReadAt(onDisk, int64(newest.txid%2)*newest.pageSize); err != nil {
		return err
	}
	if bytes.Equal(onDisk, page) {
		return nil
	}
	return c.rewrite(newest, page)
}

// opener keeps the file that bbolt has open. A catalog that is being made has one.
func (c *Catalog) opener(path string, flag int, mode os.FileMode) (f *os.File, err error) {
	if c.file != nil {
		return c.file, nil
	}
	c.file, err = os.OpenFile(path, flag, mode)
	return c.file, err
}

// Close records what was acknowledged and closes the catalog. Closing it twice is no error.
func (c *Catalog) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if !c.stuck.Load() {
		var err error
		if c.Err() == nil {
			err = c.SaveAcknowledged()
		}
		return errors.Join(err, c.db.Close())
	}
	// A transaction that never ended holds bbolt's lock. The file's own would stay as
	// long as the file is mapped, and that is until the process ends.
	err := syscall.Flock(int(c.file.Fd()), syscall.LOCK_UN)
	return errors.Join(err, c.file.Close())
}
