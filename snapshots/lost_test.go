package snapshots_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
)

// A committed layer whose thin device the pool has lost: it is marked, refused for new
// children and removable; its children are whole thin devices and are served.
func TestALostLayerIsDegradedAndNotDead(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	base := c.record("base")
	require.NoError(t, c.dm.Remove(c.ref("fake-thin-"+base.Thin.String())), "the view's device")
	c.message("delete " + base.Thin.String())
	for range 2 {
		d, err := c.open()
		require.NoError(t, err)
		info, err := d.Stat(ctx, "base")
		require.NoError(t, err)
		assert.True(t, info.Lost)
		pool, err := d.Pool(ctx)
		require.NoError(t, err)
		assert.Equal(t, 1, pool.Lost)
		_, err = d.Prepare(ctx, "new", "base")
		require.ErrorIs(t, err, snapshots.ErrLost)
		_, err = d.View(ctx, "other view", "base")
		require.ErrorIs(t, err, snapshots.ErrLost)
		_, err = d.Mounts(ctx, "view")
		require.ErrorIs(t, err, snapshots.ErrLost)
		u, err := d.Usage(ctx, "base")
		require.NoError(t, err)
		assert.Zero(t, u)
		_, err = d.Freed(ctx, "base", "idle")
		require.NoError(t, err)
		require.ErrorIs(t, d.Remove(ctx, "base"), snapshots.ErrInUse)
		for key, content := range map[string]string{"idle": "idle", "held": "held"} {
			m, err := d.Mounts(ctx, key)
			require.NoError(t, err)
			v := c.m.Mount(t, m)
			got, err := v.Get("a")
			require.NoError(t, err)
			assert.Equal(t, content, got)
			require.NoError(t, v.Unmount())
			_, err = d.Usage(ctx, key)
			require.NoError(t, err)
		}
		_, err = d.Clone(ctx, "copy", "idle")
		require.NoError(t, err, "a copy of a child is one, too")
		require.NoError(t, d.Commit(ctx, "copied", "copy"))
		require.NoError(t, d.Remove(ctx, "copied"))
		require.NoError(t, d.Close())

		findings, err := snapshots.Examine(ctx, c.m.Config(), true)
		require.NoError(t, err)
		require.Len(t, findings, 1)
		assert.Contains(t, findings[0].What, `"base"`)
		assert.Contains(t, findings[0].What, "2 children")
		assert.False(t, findings[0].Done, "nothing brings it back")
	}
	d := c.mustOpen()
	for _, key := range []string{"view", "idle", "held", "base"} {
		require.NoError(t, d.Remove(ctx, key), key)
	}
	require.NoError(t, d.Drain(ctx))
	pool, err := d.Pool(ctx)
	require.NoError(t, err)
	assert.Zero(t, pool.Lost)
	assert.Zero(t, pool.Trash)
}

// A lost layer that is committed again under its name has its children still.
func TestALostLayerIsMadeAgain(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	base := c.record("base")
	require.NoError(t, c.dm.Remove(c.ref("fake-thin-"+base.Thin.String())))
	c.message("delete " + base.Thin.String())
	d := c.mustOpen()
	_, err := d.Prepare(ctx, "again", "")
	require.NoError(t, err)
	require.NoError(t, d.Commit(ctx, "base", "again"))
	info, err := d.Stat(ctx, "base")
	require.NoError(t, err)
	assert.False(t, info.Lost)
	children, err := d.Children(ctx, "base")
	require.NoError(t, err)
	assert.Equal(t, []string{"held", "idle", "view"}, children)
	_, err = d.Prepare(ctx, "new", "base")
	require.NoError(t, err)
}

// A container whose thin device is gone keeps its record, whether it was committed, and
// whether anything was recorded after its acknowledgement.
func TestALostContainerIsNotDropped(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	d, err := c.open()
	require.NoError(t, err)
	_, err = d.Prepare(ctx, "last", "base")
	require.NoError(t, err)
	require.NoError(t, d.Deactivate(ctx))
	d, err = c.open()
	require.NoError(t, err)
	require.NoError(t, d.Close())
	c.message("delete " + c.record("last").Thin.String())
	d = c.mustOpen()
	info, err := d.Stat(ctx, "last")
	require.NoError(t, err)
	assert.True(t, info.Lost)
	require.ErrorIs(t, d.Commit(ctx, "never", "last"), snapshots.ErrLost)
	require.ErrorIs(t, d.Resize(ctx, "last", 1<<30), snapshots.ErrLost)
	_, err = d.Clone(ctx, "copy", "last")
	require.ErrorIs(t, err, snapshots.ErrLost)
	m, err := d.Rollback(ctx, "last", "")
	require.NoError(t, err, "its parent is whole")
	v := c.m.Mount(t, m)
	content, err := v.Get("a")
	require.NoError(t, err)
	assert.Equal(t, "base", content)
	require.NoError(t, v.Unmount())
}

// A pool that has nothing of what the catalog knows is another one: nothing of it is
// touched, above all not what happens to have the ids of the trash.
func TestAnotherPoolIsRefused(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	var trash metadata.Snapshot
	c.catalog(func(cat *metadata.Catalog) {
		var err error
		trash, err = cat.Remove(at(t, cat, "idle"))
		require.NoError(t, err)
	})
	template := uint32(0)
	for _, id := range []uint32{template, uint32(c.record("base").Thin), uint32(c.record("held").Thin)} {
		require.True(t, c.m.Kernel.LoseThin(fakeMetadata, id))
	}
	_, err := c.open()
	require.ErrorIs(t, err, snapshots.ErrInconsistent)
	require.ErrorContains(t, err, "another pool")
	pool, ok := c.m.Kernel.Pool(fakeMetadata)
	require.True(t, ok)
	assert.Contains(t, pool.Thins, uint32(trash.Thin))
	findings, err := snapshots.Examine(ctx, c.m.Config(), false)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	assert.False(t, findings[0].Done)
	findings, err = snapshots.Examine(ctx, c.m.Config(), true)
	require.NoError(t, err)
	for _, f := range findings {
		assert.True(t, f.Done, f.What)
	}
	d := c.mustOpen()
	require.NoError(t, d.Drain(ctx))
	m, err := d.Mounts(ctx, "recovered-"+trash.Thin.String())
	require.NoError(t, err)
	v := c.m.Mount(t, m)
	content, err := v.Get("a")
	require.NoError(t, err)
	assert.Equal(t, "idle", content, "nobody knows whose it is, and it is not deleted")
	require.NoError(t, v.Unmount())
	kept, err := filepath.Glob(filepath.Join(c.m.Config().Root, "catalog.db.*"))
	require.NoError(t, err)
	assert.Len(t, kept, 1, "the catalog that was there")
}

// A pool that has lost everything, with nothing that might be deleted for it: the doctor
// keeps the names.
func TestEverythingIsLost(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	for _, id := range []uint32{0, uint32(c.record("base").Thin), uint32(c.record("held").Thin), uint32(c.record("idle").Thin)} {
		require.True(t, c.m.Kernel.LoseThin(fakeMetadata, id))
	}
	_, err := c.open()
	require.ErrorIs(t, err, snapshots.ErrInconsistent)
	_, err = snapshots.Examine(ctx, c.m.Config(), true)
	require.NoError(t, err)
	d := c.mustOpen()
	info, err := d.Pool(ctx)
	require.NoError(t, err)
	assert.Equal(t, 3, info.Lost)
}

func at(t *testing.T, cat *metadata.Catalog, key string) metadata.Snapshot {
	t.Helper()
	s, err := cat.Get(key)
	require.NoError(t, err)
	return s
}
