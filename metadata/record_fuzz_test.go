package metadata_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata"
)

// putSealed writes a record behind the catalog's back, under a right checksum.
func putSealed(t testing.TB, path, bucket string, key, data []byte) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
	require.NoError(t, err)
	sum := crc32.Checksum(slices.Concat([]byte(bucket), key, data), crc32.MakeTable(crc32.Castagnoli))
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucket)).Put(key, binary.BigEndian.AppendUint32(slices.Clone(data), sum))
	}))
	require.NoError(t, db.Close())
}

// A record of any bytes under a right checksum, as a person or another program may
// have written it: an answer or an error with its class, no panic, and nobody gets a
// thin id that somebody has.
func FuzzSealedRecord(f *testing.F) {
	whole := aCatalog(f)
	buckets := []string{"catalog", "snapshots", "templates", "trash", "images"}
	f.Add(uint8(0), []byte("pool"), []byte(`{"name":"web","state":"ready","block_size":0}`))
	f.Add(uint8(0), []byte("version"), []byte{0, 0, 0, 2})
	f.Add(uint8(0), []byte("next-thin-id"), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint8(1), []byte("layer 3"), []byte(`{"parent":"layer 3","kind":"committed","state":"ready","thin":4,"size":1}`))
	f.Add(uint8(1), []byte("x"), []byte(`{"parent":"nobody","kind":"view","thin":4294967295,"size":18446744073709551615}`))
	f.Add(uint8(2), []byte("ext4"), []byte(`{"thin":-1}`))
	f.Add(uint8(3), []byte{0, 0, 0, 61}, []byte(`{"size":1,"was":"layer 59","reserved":true}`))
	f.Add(uint8(3), []byte{1}, []byte(`{}`))
	f.Add(uint8(4), []byte("nginx"), []byte(`null`))
	path := filepath.Join(f.TempDir(), "catalog.db")
	f.Fuzz(func(t *testing.T, bucket uint8, key, data []byte) {
		if len(key) == 0 || len(key) > 4096 {
			return // bbolt has no such keys
		}
		require.NoError(t, os.WriteFile(path, whole, 0o600))
		putSealed(t, path, buckets[int(bucket)%len(buckets)], key, data)
		c, err := metadata.Open(path, metadata.Options{MustExist: true})
		if err != nil {
			require.True(t, understood(err), "%v", err)
			return
		}
		_, err = dump(c)
		require.True(t, err == nil || understood(err), "%v", err)
		sound := c.Check()
		require.True(t, sound == nil || understood(sound), "%v", sound)
		if s, err := create(c, metadata.Snapshot{Key: "fresh", Kind: metadata.Active, Size: 1}); err == nil && sound == nil {
			require.NoError(t, c.Check(), "thin %s", s.Thin)
		}
		for _, change := range []func() error{
			func() error { _, err := c.Get(string(key)); return err },
			func() error { _, err := c.Commit(at(c, string(key)), "done", nil); return err },
			func() error { _, err := c.Remove(at(c, string(key))); return err },
			func() error { return c.RemoveTemplate(string(key)) },
			func() error {
				trash, err := c.Trash()
				for _, t := range trash {
					if t.Reserved {
						err = errors.Join(err, c.Release(t.Thin))
					}
				}
				return err
			},
			func() error {
				trash, err := c.Trash()
				for _, t := range trash {
					err = errors.Join(err, c.Forget(t.Thin))
				}
				return err
			},
		} {
			err := change()
			known := err == nil || understood(err)
			for _, class := range []error{metadata.ErrInvalid, metadata.ErrInUse, metadata.ErrExists, metadata.ErrLost} {
				known = known || errors.Is(err, class)
			}
			require.True(t, known, "%v", err)
		}
		if sound == nil {
			require.NoError(t, c.Check(), "what was right stays right")
		}
		require.NoError(t, c.Close())
	})
}
