package snapshots_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// crashed is a store whose process is gone, to be made inconsistent by hand as a
// crash would leave it.
type crashed struct {
	t  *testing.T
	m  *snapstest.Fake
	dm *devmapper.Client
}

func newCrashed(t *testing.T) *crashed {
	t.Helper()
	f := newFaulty(t) // base, idle, held, view
	require.NoError(t, f.held.Unmount())
	require.NoError(t, f.d.Close())
	return &crashed{t, f.m, devmapper.New(f.m.Kernel)}
}

func (c *crashed) catalog(use func(*metadata.Catalog)) {
	c.t.Helper()
	cat, err := metadata.Open(filepath.Join(c.m.Config().Root, "catalog.db"), metadata.Options{MustExist: true})
	require.NoError(c.t, err)
	use(cat)
	require.NoError(c.t, cat.Close())
}

func (c *crashed) record(key string) (s metadata.Snapshot) {
	c.t.Helper()
	c.catalog(func(cat *metadata.Catalog) {
		var err error
		s, err = cat.Get(key)
		require.NoError(c.t, err)
	})
	return s
}

func (c *crashed) message(text string) {
	c.t.Helper()
	_, err := c.dm.Message(c.ref("fake"), 0, text)
	require.NoError(c.t, err)
}

func (c *crashed) ref(name string) devmapper.Ref {
	c.t.Helper()
	n, err := devmapper.NewName(name)
	require.NoError(c.t, err)
	return devmapper.ByName(n)
}

func (c *crashed) open() (*snapshots.Driver, error) {
	return snapshots.Open(c.t.Context(), c.m.Config())
}

func (c *crashed) mustOpen() *snapshots.Driver {
	c.t.Helper()
	d, err := c.open()
	require.NoError(c.t, err)
	c.t.Cleanup(func() { assert.NoError(c.t, d.Close()) })
	return d
}

func TestStartRollsBackWhatWasOnlyRecorded(t *testing.T) {
	c := newCrashed(t)
	c.catalog(func(cat *metadata.Catalog) {
		_, err := cat.Create(metadata.Snapshot{Key: "half", Parent: "base", Kind: metadata.Active, Size: 64 << 20, Filesystem: "ext4"})
		require.NoError(t, err)
	})
	d := c.mustOpen()
	_, err := d.Stat(t.Context(), "half")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	_, err = d.Prepare(t.Context(), "half", "base")
	require.NoError(t, err, "the key is free")
}

func TestStartKeepsWhatTheKernelHadMade(t *testing.T) {
	c := newCrashed(t)
	var s metadata.Snapshot
	c.catalog(func(cat *metadata.Catalog) {
		var err error
		s, err = cat.Create(metadata.Snapshot{Key: "made", Parent: "base", Kind: metadata.Active, Size: 64 << 20, Filesystem: "ext4"})
		require.NoError(t, err)
	})
	c.message("create_snap " + s.Thin.String() + " " + c.record("base").Thin.String())
	d := c.mustOpen()
	m, err := d.Mounts(t.Context(), "made")
	require.NoError(t, err)
	v := c.m.Mount(t, m)
	content, err := v.Get("a")
	require.NoError(t, err)
	assert.Equal(t, "base", content)
	require.NoError(t, v.Unmount())
}

func TestStartResumesWhatWasLeftSuspended(t *testing.T) {
	c := newCrashed(t)
	require.NoError(t, c.dm.Suspend(c.ref("fake-thin-"+c.record("held").Thin.String()), 0))
	d := c.mustOpen()
	m, err := d.Mounts(t.Context(), "held")
	require.NoError(t, err)
	v := c.m.Mount(t, m) // would wait for ever
	require.NoError(t, v.Put("a", "goes on"))
	require.NoError(t, v.Unmount())
}

func TestStartDeletesReservedTrash(t *testing.T) {
	c := newCrashed(t)
	c.catalog(func(cat *metadata.Catalog) {
		id, err := cat.Reserve(64<<20, "rollback")
		require.NoError(t, err)
		c.message("create_snap " + id.String() + " 1")
	})
	d := c.mustOpen()
	require.NoError(t, d.Drain(t.Context()))
	info, err := d.Pool(t.Context())
	require.NoError(t, err)
	assert.Zero(t, info.Trash)
	assert.Empty(t, info.Unknown)
}

func TestThinsThatNobodyKnowsAreAdopted(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	idle := c.record("idle")
	c.message("create_snap 4711 " + idle.Thin.String())
	d := c.mustOpen()
	info, err := d.Pool(ctx)
	require.NoError(t, err)
	require.Len(t, info.Unknown, 1)
	require.NoError(t, d.Drain(ctx))
	require.NoError(t, d.Close())

	findings, err := snapshots.Examine(ctx, c.m.Config(), false)
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	findings, err = snapshots.Examine(ctx, c.m.Config(), true)
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	for _, f := range findings {
		assert.True(t, f.Done, f.What)
	}
	again, err := snapshots.Examine(ctx, c.m.Config(), false)
	require.NoError(t, err)
	assert.Empty(t, again)
	d = c.mustOpen()
	m, err := d.Mounts(ctx, "recovered-4711")
	require.NoError(t, err)
	v := c.m.Mount(t, m)
	content, err := v.Get("a")
	require.NoError(t, err)
	assert.Equal(t, "idle", content, "what it holds is not lost")
	require.NoError(t, v.Unmount())
	require.NoError(t, d.Remove(ctx, "recovered-4711"))
}

// SIGKILL in the reaper, between the making of a device and the load of its table, for a
// thin device that the pool never had.
func TestDeviceWithoutATableOfWhatThePoolNeverHad(t *testing.T) {
	c := newCrashed(t)
	c.catalog(func(cat *metadata.Catalog) {
		id, err := cat.Reserve(64<<20, "rollback")
		require.NoError(t, err)
		name, err := devmapper.NewName("fake-thin-" + id.String())
		require.NoError(t, err)
		uuid, err := devmapper.NewUUID("VENEER-fake-" + id.String())
		require.NoError(t, err)
		_, err = c.dm.Create(name, uuid)
		require.NoError(t, err)
	})
	d := c.mustOpen()
	require.NoError(t, d.Drain(t.Context()))
	info, err := d.Pool(t.Context())
	require.NoError(t, err)
	assert.Zero(t, info.Trash)
	assert.Len(t, c.m.Kernel.Devices(), 4, "the pool, two containers and a view")
}

func TestMissingCatalogIsNotANewStore(t *testing.T) {
	m := snapstest.NewFake(t)
	_, err := snapshots.Open(t.Context(), m.Config())
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	assert.ErrorContains(t, err, "veneer pool create")
}

func TestSecondOpenerIsRefusedAtOnce(t *testing.T) {
	c := newCrashed(t)
	c.mustOpen()
	_, err := c.open()
	require.ErrorIs(t, err, snapshots.ErrLocked)
	_, err = snapshots.Examine(context.Background(), c.m.Config(), false)
	require.ErrorIs(t, err, snapshots.ErrLocked)
}

func TestAdmissionRefusesAndRemovalWorks(t *testing.T) {
	m := snapstest.NewFake(t)
	config := m.Config()
	config.Admit = snapshots.Admission{MinFreeData: 99.9}
	d, err := snapshots.CreatePool(t.Context(), config, m.Options())
	require.NoError(t, err)
	_, err = d.Prepare(t.Context(), "first", "")
	require.NoError(t, err)
	mount, err := d.Mounts(t.Context(), "first")
	require.NoError(t, err)
	v := m.Mount(t, mount)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		require.NoError(t, v.Put(name, "x"))
	}
	require.NoError(t, v.Unmount())
	_, err = d.Usage(t.Context(), "first") // asks the pool
	require.NoError(t, err)
	_, err = d.Prepare(t.Context(), "second", "")
	require.ErrorIs(t, err, snapshots.ErrNoSpace)
	require.NoError(t, d.Remove(t.Context(), "first"))
	require.NoError(t, d.Drain(t.Context()))
	_, err = d.Prepare(t.Context(), "second", "")
	require.NoError(t, err)
	require.NoError(t, d.Close())
}
