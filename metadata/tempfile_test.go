package metadata_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
)

func image(name string) metadata.Image {
	return metadata.Image{Name: name, Record: []byte(`{}`)}
}

// Of many that make the same catalog at once one has it, and the others are told so.
func TestOneMakesTheCatalog(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "catalog.db")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var made []*metadata.Catalog
		for range 8 {
			wg.Go(func() {
				c, err := metadata.Open(path, metadata.Options{})
				if err != nil {
					assert.ErrorIs(t, err, metadata.ErrLocked)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				made = append(made, c)
			})
		}
		wg.Wait()
		require.Len(t, made, 1)
		require.NoError(t, made[0].PutImage(image("a")))
		require.NoError(t, made[0].Close())
		c, err := metadata.Open(path, metadata.Options{MustExist: true})
		require.NoError(t, err)
		_, err = c.Image("a")
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
}

// What somebody who died left is written over; what somebody who lives has is not.
func TestUnfinishedCatalogIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	require.NoError(t, os.WriteFile(path+".making", make([]byte, 50_000), 0o600))
	f, err := os.OpenFile(path+".making", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	_, err = metadata.Open(path, metadata.Options{})
	var locked *metadata.LockedError
	require.ErrorAs(t, err, &locked)
	assert.Equal(t, path, locked.Path)
	require.NoError(t, f.Close())
	c, err := metadata.Open(path, metadata.Options{})
	require.NoError(t, err)
	require.NoError(t, errors.Join(c.Check(), c.Close()))
	_, err = os.Stat(path + ".making")
	require.ErrorIs(t, err, os.ErrNotExist)
}
