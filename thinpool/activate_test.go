package thinpool_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// A device that is to go away at its last close may do so at any moment of an activation:
// it is then made anew.
func TestActivationMeetsARemovalThatEnds(t *testing.T) {
	for i := int32(0); ; i++ {
		f := newFixture(t, 64*mib)
		p := f.create(t)
		require.NoError(t, p.CreateThin(1))
		live := f.activate(t, p, 1)
		release := f.hold(t, live.Name.String())
		gone, err := p.DeactivateThinDeferred(1)
		require.NoError(t, err)
		require.False(t, gone)
		// The device may be suspended too, and active in another mode.
		require.NoError(t, f.dm.Suspend(devmapper.ByName(live.Name), 0))

		closed := false
		a, p := f.interrupted(t, p, func() { closed = true; release() })
		a.i = a.count.Load() + i
		live, err = p.ActivateThin(1, 8*mib, devmapper.ReadOnly)
		require.NoError(t, err, "the removal ends after operation %d", i)
		assert.True(t, live.HasTable && live.ReadOnly && !live.Suspended && !live.Deferred)
		info := f.info(t, "test-thin-1")
		assert.True(t, info.Active && info.ReadOnly && !info.Suspended && !info.DeferredRemove, "the removal ends after operation %d", i)
		if !closed {
			require.Greater(t, i, int32(5))
			release()
			break
		}
	}
}

func TestActivationOfThePoolMeetsARemovalThatEnds(t *testing.T) {
	for i := int32(0); ; i++ {
		f := newFixture(t, 64*mib)
		f.create(t)
		release := f.hold(t, "test")
		removed, err := f.dm.RemoveDeferred(ref(t, "test"))
		require.NoError(t, err)
		require.False(t, removed)
		require.NoError(t, f.dm.Suspend(ref(t, "test"), 0))
		closed := false
		a := &after{Kernel: f.kernel, i: i, f: func() { closed = true; release() }}
		p, err := thinpool.Open(t.Context(), devmapper.New(a), f.spec)
		require.NoError(t, err, "the removal ends after operation %d", i)
		require.NoError(t, p.CreateThin(1))
		info := f.info(t, "test")
		assert.True(t, info.Active && !info.Suspended && !info.DeferredRemove)
		if !closed {
			release()
			break
		}
	}
}

// Somebody removes the device again each time: the activation gives up.
func TestActivationGivesUp(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	creates := 0
	f.kernel.Inject(func(c dmtest.Call) error {
		switch c.Kind() {
		case "create":
			creates++
			return syscall.EBUSY
		case "info":
			return syscall.ENXIO
		}
		return nil
	})
	_, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
	require.ErrorIs(t, err, devmapper.ErrExist)
	assert.Equal(t, 10, creates)
}

// A question that failed is not an answer, and a fault is not a removal.
func TestActivationReportsFaults(t *testing.T) {
	for kind, n := range map[string]int{"info": 0, "table status": 0, "table clear": 0, "resume": 0, "message @cancel_deferred_remove": 0, "table load": 0} {
		f := newFixture(t, 64*mib)
		p := f.create(t)
		require.NoError(t, p.CreateThin(1))
		live := f.activate(t, p, 1)
		release := f.hold(t, live.Name.String())
		_, err := p.DeactivateThinDeferred(1)
		require.NoError(t, err)
		f.stage(t, live.Name.String(), f.thin(1, 8*mib))
		var fired bool
		f.kernel.Inject(dmtest.FailNth(kind, n, syscall.EIO, &fired))
		_, err = p.ActivateThin(1, 8*mib, devmapper.ReadOnly)
		require.ErrorIs(t, err, syscall.EIO, kind)
		assert.True(t, fired, kind)
		f.kernel.Inject(nil)
		assert.False(t, f.info(t, live.Name.String()).Suspended, kind)
		_, err = p.ActivateThin(1, 8*mib, devmapper.ReadOnly)
		require.NoError(t, err, kind)
		release()
	}
}

// What a process that died between making a device and loading its table left is
// finished, or taken away when the pool does not have the thin device.
func TestDeviceWithoutATable(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	require.NoError(t, f.kernel.CreateDevice("test-thin-1", "VENEER-test-1"))
	require.NoError(t, f.kernel.CreateDevice("test-thin-2", "VENEER-test-2"))
	ids, err := p.ActiveThins()
	require.NoError(t, err)
	assert.Equal(t, []dmthin.ThinID{1, 2}, ids)
	live, err := p.Lookup(1)
	require.NoError(t, err)
	assert.False(t, live.HasTable)
	// Nothing is read or written there, so there is nothing to suspend.
	require.NoError(t, p.CreateSnapshot(3, 1))

	live = f.activate(t, p, 1)
	assert.True(t, live.HasTable)
	live, err = p.Lookup(1)
	require.NoError(t, err)
	assert.True(t, live.HasTable)

	_, err = p.ActivateThin(2, 8*mib, devmapper.ReadWrite)
	require.ErrorIs(t, err, thinpool.ErrNoThin)
	live, err = p.Lookup(2)
	require.NoError(t, err)
	assert.Nil(t, live)

	// Its table was staged, and its process died before the resume.
	require.NoError(t, f.kernel.CreateDevice("test-thin-3", "VENEER-test-3"))
	f.stage(t, "test-thin-3", f.thin(3, 4*mib))
	live, err = p.ActivateThin(3, 8*mib, devmapper.ReadOnly)
	require.NoError(t, err)
	assert.True(t, live.HasTable && live.ReadOnly)
	assert.EqualValues(t, 8*mib, f.length(t, "test-thin-3"))
	for _, id := range []dmthin.ThinID{1, 3} {
		require.NoError(t, p.DeactivateThin(id))
	}

	require.NoError(t, f.kernel.CreateDevice("test-thin-4", "VENEER-test-4"))
	require.NoError(t, p.DeactivateThin(4))
	require.NoError(t, f.kernel.CreateDevice("test-thin-4", "VENEER-test-4"))
	gone, err := p.DeactivateThinDeferred(4)
	require.NoError(t, err)
	assert.True(t, gone)
	assert.Equal(t, []string{"test"}, f.kernel.Devices())
}

func TestPoolDeviceWithoutATable(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	require.NoError(t, p.Deactivate(t.Context()))
	require.NoError(t, f.kernel.CreateDevice("test", "VENEER-test-pool"))
	p, err := thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err)
	require.NoError(t, p.Delete(1))
	require.NoError(t, p.Deactivate(t.Context()))

	// The metadata is verified before the kernel gets it, here too.
	require.NoError(t, f.kernel.CreateDevice("test", "VENEER-test-pool"))
	b, err := os.ReadFile(f.spec.Metadata.Path)
	require.NoError(t, err)
	for i := 4096; i < len(b); i++ {
		b[i] ^= 0xff
	}
	require.NoError(t, os.WriteFile(f.spec.Metadata.Path, b, 0o600))
	_, err = thinpool.Open(t.Context(), f.dm, f.spec)
	require.ErrorIs(t, err, thinpool.ErrDamaged)
	assert.Empty(t, f.kernel.Devices())
}

// A table that somebody staged and never activated is not activated by whoever resumes the
// device next.
func TestStagedTablesAreDropped(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	name := f.activate(t, p, 1).Name.String()
	stage := func() { f.stage(t, name, f.thin(1, 32*mib)) }
	unchanged := func(what string) {
		t.Helper()
		info := f.info(t, name)
		assert.False(t, info.Inactive || info.Suspended, what)
		assert.EqualValues(t, 8*mib, f.length(t, name), what)
	}
	stage()
	require.NoError(t, p.CreateSnapshot(2, 1))
	unchanged("snapshot")
	stage()
	f.activate(t, p, 1)
	unchanged("activate")
	stage()
	require.NoError(t, f.dm.Suspend(ref(t, name), 0))
	require.NoError(t, p.ResumeThin(1))
	unchanged("resume")
	stage()
	require.NoError(t, f.dm.Suspend(ref(t, name), 0))
	release := f.hold(t, name)
	require.ErrorIs(t, p.DeactivateThin(1), devmapper.ErrBusy)
	unchanged("deactivate")
	release()

	// The pool's own, of a growth that was killed.
	f.kernel.AddDisk(f.spec.Data.Dev, 128*mib/512)
	grown := f.spec
	grown.Data.Size = 128 * mib / 512
	pool := devmapper.Single(grown.Data.Size, devmapper.ThinPool{Metadata: grown.Metadata.Dev, Data: grown.Data.Dev, BlockSize: 128})
	f.stage(t, "test", pool)
	require.NoError(t, f.dm.Suspend(ref(t, "test"), 0))
	p, err := thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err)
	w, err := p.Working()
	require.NoError(t, err)
	assert.EqualValues(t, 64*mib/(64<<10), w.TotalData)
	require.NoError(t, p.Grow(grown))
}

// A device is at least as large as it is activated with: a process may have died between
// recording a size and loading its table. It is never made smaller, for it may be in use.
func TestActivationGrows(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	f.activate(t, p, 1)
	release := f.hold(t, "test-thin-1")
	defer release()
	for _, c := range []struct {
		size, want uint64
		mode       devmapper.Mode
	}{
		{8 * mib, 8 * mib, devmapper.ReadWrite},
		{16 * mib, 16 * mib, devmapper.ReadWrite},
		{8 * mib, 16 * mib, devmapper.ReadWrite},
		{8 * mib, 16 * mib, devmapper.ReadOnly},
		{24 * mib, 24 * mib, devmapper.ReadOnly},
		{8 * mib, 24 * mib, devmapper.ReadWrite},
	} {
		live, err := p.ActivateThin(1, c.size, c.mode)
		require.NoError(t, err)
		assert.Equal(t, c.want, f.length(t, "test-thin-1"))
		assert.Equal(t, bool(c.mode), live.ReadOnly)
		assert.Equal(t, bool(c.mode), f.info(t, "test-thin-1").ReadOnly)
	}
	_, err := p.ActivateThin(1, 1000, devmapper.ReadWrite)
	require.ErrorIs(t, err, devmapper.ErrInvalid)
	require.ErrorIs(t, p.ResizeThin(1, 1000), devmapper.ErrInvalid)
}

func TestActivationFindsARenamedDevice(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	live := f.activate(t, p, 1)
	rename := func(to string) {
		n, err := devmapper.NewName(to)
		require.NoError(t, err)
		require.NoError(t, f.dm.Rename(live.Name, n))
	}
	rename("else")
	again := f.activate(t, p, 1)
	assert.Equal(t, live, again)
	rename("else")
	require.NoError(t, f.kernel.CreateDevice("test-thin-1", "somebody's"))
	_, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
	require.ErrorIs(t, err, devmapper.ErrExist)
	require.ErrorContains(t, err, "another name, else")
	require.NoError(t, p.DeactivateThin(1), "it is known by its UUID")
	assert.ElementsMatch(t, []string{"test", "test-thin-1"}, f.kernel.Devices())
	_, err = p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
	require.ErrorIs(t, err, thinpool.ErrForeign)
	require.NoError(t, p.DeactivateThin(1))
	assert.ElementsMatch(t, []string{"test", "test-thin-1"}, f.kernel.Devices(), "somebody else's stays")
}

func TestActivationRefusesAnotherTable(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	require.NoError(t, p.CreateThin(2))
	f.activate(t, p, 1)
	for _, table := range []devmapper.Table{
		f.thin(2, 8*mib),
		devmapper.Single(16384, devmapper.Zero{}),
		{{Length: 8, Target: f.thin(1, mib)[0].Target}, {Start: 8, Length: 8, Target: devmapper.Zero{}}},
	} {
		require.NoError(t, f.dm.Load(ref(t, "test-thin-1"), table, devmapper.ReadWrite))
		require.NoError(t, f.dm.Resume(ref(t, "test-thin-1")))
		_, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
		require.ErrorIs(t, err, thinpool.ErrForeign)
		have, err := f.dm.Table(ref(t, "test-thin-1"))
		require.NoError(t, err)
		assert.Equal(t, table, have)
	}
	require.NoError(t, p.DeactivateThin(1))
}

// A snapshot's origin goes away at its last close while the snapshot is being made.
func TestSnapshotMeetsARemovalThatEnds(t *testing.T) {
	for i := int32(0); ; i++ {
		f := newFixture(t, 64*mib)
		p := f.create(t)
		require.NoError(t, p.CreateThin(1))
		live := f.activate(t, p, 1)
		release := f.hold(t, live.Name.String())
		_, err := p.DeactivateThinDeferred(1)
		require.NoError(t, err)
		closed := false
		a, p := f.interrupted(t, p, func() { closed = true; release() })
		a.i = a.count.Load() + i
		require.NoError(t, p.CreateSnapshot(2, 1), "the removal ends after operation %d", i)
		require.ErrorIs(t, p.CreateThin(2), devmapper.ErrExist)
		if !closed {
			assert.False(t, f.info(t, live.Name.String()).Suspended)
			release()
			break
		}
	}
}
