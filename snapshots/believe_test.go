package snapshots_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// refused is a catalog whose disk has refused a flush, from some moment on.
type refused struct {
	snapshots.Catalog
	now *atomic.Bool
}

func (c refused) Err() error {
	if c.now.Load() {
		return metadata.ErrDisk
	}
	return c.Catalog.Err()
}

// What the catalog's page cache says is removed may not be so on its disk: the reaper
// deletes nothing that it cannot be sure of.
func TestNothingIsDeletedOnTheWordOfThePageCache(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	c := m.Config()
	var now atomic.Bool
	c.OpenCatalog = func(path string, o metadata.Options) (snapshots.Catalog, error) {
		opened, err := metadata.Open(path, o)
		if err != nil {
			return nil, err
		}
		return refused{opened, &now}, nil
	}
	d, err := snapshots.CreatePool(ctx, c, m.Options())
	require.NoError(t, err)
	mount, err := d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	v := m.Mount(t, mount)
	now.Store(true)
	require.NoError(t, d.Remove(ctx, "work"))
	require.NoError(t, v.Unmount())
	require.NoError(t, d.Drain(ctx))
	info, err := d.Pool(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, info.Trash, "it is still there")
	now.Store(false)
	require.NoError(t, d.Drain(ctx))
	info, err = d.Pool(ctx)
	require.NoError(t, err)
	assert.Zero(t, info.Trash)
	require.NoError(t, d.DestroyPool(ctx))
}
