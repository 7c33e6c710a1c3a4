package metadata

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// formatVersion is written into new catalogs. Version 2 is upgraded when it is opened,
// others are refused.
const formatVersion = 3

var (
	bucketMeta      = []byte("catalog")
	bucketSnapshots = []byte("snapshots")
	bucketTemplates = []byte("templates")
	bucketTrash     = []byte("trash")
	bucketImages    = []byte("images")

	buckets = [][]byte{bucketMeta, bucketSnapshots, bucketTemplates, bucketTrash, bucketImages}

	keyVersion      = []byte("version")
	keyNextID       = []byte("next-thin-id")
	keyPool         = []byte("pool")
	keyAcknowledged = []byte("acknowledged")
	keyClock        = []byte("clock")
)

// Options of Open. The zero value is what production uses.
type Options struct {
	// MustExist makes Open fail with ErrNotFound rather than make a new catalog.
	MustExist bool
	// AcceptOlder opens a catalog with a damaged header page as it was before its last
	// change, which is forgotten. It is for repairs.
	AcceptOlder bool
}

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	db      *bolt.DB
	path    string
	file    *os.File // the one that db has open
	broken  atomic.Pointer[error]
	stuck   atomic.Bool // a transaction never ended
	closed  atomic.Bool
	writing sync.Mutex
	index   *index
}

// Open opens the catalog in a file, or makes one. It does not wait for another
// process that has it: that is a *LockedError.
func Open(path string, o Options) (*Catalog, error) {
	if o.MustExist {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: catalog %s", ErrNotFound, path)
		}
	}
	if err := verifyBefore(path, o); err != nil {
		return nil, err
	}
	c := &Catalog{path: path, index: newIndex()}
	at := path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if c.file, err = createTemp(path); err != nil {
			return nil, fmt.Errorf("make catalog %s: %w", path, err)
		}
		if c.file != nil {
			at += tempSuffix
		}
	}
	err := guarded(func() (err error) {
		c.db, err = bolt.Open(at, 0o600, &bolt.Options{
			Timeout:        50 * time.Millisecond,
			NoFreelistSync: true,
			FreelistType:   bolt.FreelistArrayType,
			OpenFile:       c.opener,
		})
		return err
	})
	if err != nil && at != path {
		return nil, fmt.Errorf("make catalog %s: %w", path, errors.Join(err, os.Remove(at)))
	}
	switch {
	case errors.Is(err, ErrCorrupt):
		return nil, fmt.Errorf("catalog %s: %w", path, err)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &LockedError{Path: path, PID: holder(path)}
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	case err != nil:
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	c.db.NoSync = dropsSync
	err = c.prepare(path)
	if err == nil && at != path {
		err = c.renameTemp()
	}
	if err != nil && at != path {
		// Under its own name or not: nobody was told of it.
		err = errors.Join(err, removeIfThere(at), removeIfThere(path))
	}
	if err == nil {
		err = c.confirm()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// prepare makes a new file a catalog and checks an old one.
func (c *Catalog) prepare(path string) error {
	fresh, version := false, uint32(formatVersion)
	err := c.view(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			if k, _ := tx.Cursor().First(); k != nil {
				return fmt.Errorf("%w: %s is a database of something else", ErrCorrupt, path)
			}
			fresh = true
			return nil
		}
		v := meta.Get(keyVersion)
		if len(v) != 4 {
			return fmt.Errorf("%w: %s has no format version", ErrCorrupt, path)
		}
		version = binary.BigEndian.Uint32(v)
		if version != formatVersion && version != upgradable {
			return fmt.Errorf("%w: %s has version %d, this program knows %d", ErrVersion, path, version, formatVersion)
		}
		for _, b := range buckets {
			if tx.Bucket(b) == nil {
				return damaged("%s has no bucket %q", path, b)
			}
		}
		return nil
	})
	if err == nil && !fresh && version == upgradable {
		err = c.upgrade()
	}
	if err == nil && !fresh {
		err = c.view(c.index.read)
	}
	if err != nil || !fresh {
		return err
	}
	return c.update(func(tx *txn) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucket(b); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyVersion, binary.BigEndian.AppendUint32(nil, formatVersion))
	})
}

// holder finds who has a lock on a file, as /proc/locks tells it by inode.
func holder(path string) int {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(locks)) {
		var nr, kind, mode, access, at string
		var pid int
		if n, _ := fmt.Sscan(line, &nr, &kind, &mode, &access, &pid, &at); n == 6 && kind == "FLOCK" &&
			strings.HasSuffix(at, fmt.Sprintf(":%d", sys.Ino)) {
			return pid
		}
	}
	return 0
}

func thinKey(id dmthin.ThinID) []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

func trashID(key []byte) dmthin.ThinID { return dmthin.ThinID(binary.BigEndian.Uint32(key)) }

func put(tx *txn, bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(key, seal(bucket, key, data))
}

func decode(bucket, key, value []byte, v any) error {
	data, err := unseal(bucket, key, value)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: record %q of %s: %w", ErrCorrupt, key, bucket, err)
	}
	return nil
}
