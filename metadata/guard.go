package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// A record is JSON and then the CRC-32C of its bucket, its key and itself, big
// endian: bbolt has no checksum over what it keeps, and a record with a digit changed
// is a record still.
const sealLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(bucket, key, data []byte) uint32 {
	return crc32.Update(crc32.Update(crc32.Update(0, castagnoli, bucket), castagnoli, key), castagnoli, data)
}

// seal gives the value that is stored for data.
func seal(bucket, key, data []byte) []byte {
	sealed := make([]byte, 0, len(data)+sealLen)
	return binary.BigEndian.AppendUint32(append(sealed, data...), sum(bucket, key, data))
}

// unseal gives the data of a stored value. It shares memory with it.
func unseal(bucket, key, value []byte) ([]byte, error) {
	n := len(value) - sealLen
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != sum(bucket, key, value[:n]) {
		return nil, damaged("the record %q of %s was changed by something else than this program", key, bucket)
	}
	return value[:n], nil
}

// fault is what the runtime panics with when memory cannot be read.
type fault interface {
	runtime.Error
	Addr() uintptr
}

// guarded turns what bbolt does about a damaged page, or the kernel about one that it
// cannot read, into an error. Both would end the process.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		cause, ok := r.(error)
		if !ok {
			cause = fmt.Errorf("%v", r)
		}
		if _, ok := errors.AsType[fault](cause); ok {
			cause = errors.New("a page of the file cannot be read")
		}
		err = fmt.Errorf("%w: %w", ErrCorrupt, cause)
	}()
	return f()
}

func (c *Catalog) view(f func(*bolt.Tx) error) error {
	if err := c.Err(); err != nil {
		return err
	}
	err := guarded(func() error { return c.db.View(f) })
	if err == nil {
		err = c.Err() // the disk may have refused meanwhile what f was shown
	}
	return err
}

// HeaderError says that one of a catalog's two header pages is damaged. The other one
// leads to the catalog as it was before its last change. It is ErrCorrupt.
type HeaderError struct{}

func (*HeaderError) Error() string {
	return "one of its two header pages is damaged; the other leads to the state before the last change"
}

// Unwrap says that it is ErrCorrupt.
func (*HeaderError) Unwrap() error { return ErrCorrupt }

// verifyBefore looks at a catalog's pages before bbolt does, and changes nothing.
func verifyBefore(path string, o Options) error {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if st.Size() == 0 {
		// What a crash leaves of the very first command.
		if o.MustExist {
			return fmt.Errorf("%w: catalog %s is empty", ErrNotFound, path)
		}
		return nil
	}
	err = guarded(func() error { return verifyFile(path, o.AcceptOlder) })
	if err != nil && !errors.Is(err, ErrLocked) {
		return fmt.Errorf("catalog %s: %w", path, err)
	}
	return err
}
