package thinpool_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// neighbours are devices of other pools, and of other programs, whose names or UUIDs look
// like those of the pool "test".
var neighbours = map[string]string{
	"test-thin-7":        "VENEER-test-thin-7-pool",
	"test-thin-7-thin-3": "VENEER-test-thin-7-3",
	"test-7-thin-3":      "VENEER-test-7-3",
	"test-7":             "VENEER-test-7-pool",
	"test-pool":          "VENEER-test-pool-pool",
	"test-pool-thin-1":   "VENEER-test-pool-1",
	"test-thin-8":        "",
	"test-thin-9":        "LVM-9",
	"tes":                "VENEER-tes-pool",
	"other-thin-1":       "VENEER-test-01",
}

func (f *fixture) addNeighbours(t *testing.T) (names []string) {
	t.Helper()
	for name, uuid := range neighbours {
		require.NoError(t, f.kernel.CreateDevice(name, uuid))
		names = append(names, name)
	}
	return names
}

// Taking a pool's devices away leaves those of pools whose names begin alike.
func TestDevicesOfOtherPoolsAreLeftAlone(t *testing.T) {
	for _, minor := range []uint32{47, 43} {
		f := newFixture(t, 64*mib)
		f.kernel.SetInterface(minor)
		names := f.addNeighbours(t)
		p := f.create(t)
		for _, id := range []dmthin.ThinID{1, 10} {
			require.NoError(t, p.CreateThin(id))
			f.activate(t, p, id)
		}
		require.NoError(t, f.kernel.CreateDevice("test-thin-11", "VENEER-test-11"))
		to, err := devmapper.NewName("renamed")
		require.NoError(t, err)
		from, err := devmapper.NewName("test-thin-10")
		require.NoError(t, err)
		require.NoError(t, f.dm.Rename(from, to))

		// Nobody needs the pool for that.
		devices := thinpool.DevicesOf(f.dm, "test")
		assert.Equal(t, "test", devices.Name())
		ids, err := devices.ActiveThins()
		require.NoError(t, err)
		assert.ElementsMatch(t, []dmthin.ThinID{1, 10, 11}, ids)
		for id := range dmthin.ThinID(12) {
			live, err := devices.Lookup(id)
			require.NoError(t, err)
			if assert.Equal(t, id == 1 || id == 10 || id == 11, live != nil, "thin %s", id) && live != nil {
				assert.Equal(t, id, live.ID)
				assert.Equal(t, id != 11, live.HasTable)
			}
			require.NoError(t, devices.ResumeThin(id))
			if id%2 == 0 {
				require.NoError(t, devices.DeactivateThin(id))
				continue
			}
			gone, err := devices.DeactivateThinDeferred(id)
			require.NoError(t, err)
			assert.True(t, gone)
		}
		assert.ElementsMatch(t, append(names, "test"), f.kernel.Devices(), "interface 4.%d", minor)
		info, err := devices.LookupPool()
		require.NoError(t, err)
		assert.Equal(t, p.Dev(), info.Dev)
		require.NoError(t, devices.DeactivatePool(t.Context()))
		require.NoError(t, devices.DeactivatePool(t.Context()), "that it is gone is no error")
		info, err = devices.LookupPool()
		require.NoError(t, err)
		assert.Nil(t, info)
		assert.ElementsMatch(t, names, f.kernel.Devices())
	}
}

func TestNamesThatCannotBe(t *testing.T) {
	devices := thinpool.DevicesOf(devmapper.New(dmtest.New()), "a/b")
	_, err := devices.Lookup(1)
	require.ErrorIs(t, err, devmapper.ErrInvalid)
	_, err = devices.LookupPool()
	require.ErrorIs(t, err, devmapper.ErrInvalid)
	require.ErrorIs(t, devices.DeactivatePool(t.Context()), devmapper.ErrInvalid)
	require.ErrorIs(t, devices.DeactivateThin(1), devmapper.ErrInvalid)
	require.ErrorIs(t, devices.ResumeThin(1), devmapper.ErrInvalid)
	_, err = devices.DeactivateThinDeferred(1)
	require.ErrorIs(t, err, devmapper.ErrInvalid)
}

// What is open and suspended would never be closed: its users wait for their I/O.
func TestDeactivatingResumesWhatIsOpen(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	live := f.activate(t, p, 1)
	suspend := func() { require.NoError(t, f.dm.Suspend(devmapper.ByName(live.Name), 0)) }

	suspend()
	require.NoError(t, p.DeactivateThin(1), "nobody has it open")
	f.activate(t, p, 1)
	suspend()
	gone, err := p.DeactivateThinDeferred(1)
	require.NoError(t, err)
	assert.True(t, gone)

	f.activate(t, p, 1)
	suspend()
	release := f.hold(t, live.Name.String())
	require.ErrorIs(t, p.DeactivateThin(1), devmapper.ErrBusy)
	assert.False(t, f.info(t, live.Name.String()).Suspended)
	suspend()
	gone, err = p.DeactivateThinDeferred(1)
	require.NoError(t, err)
	assert.False(t, gone)
	assert.False(t, f.info(t, live.Name.String()).Suspended)
	release()
	assert.Equal(t, []string{"test"}, f.kernel.Devices())

	f.activate(t, p, 1)
	require.NoError(t, f.dm.Suspend(ref(t, "test"), 0))
	require.ErrorIs(t, p.Deactivate(t.Context()), devmapper.ErrBusy)
	assert.False(t, f.info(t, "test").Suspended)
}

// A removal at the last close ends in the kernel, which leaves the node.
func TestDeactivatingSweepsTheNode(t *testing.T) {
	f := newFixture(t, 64*mib)
	dev := t.TempDir()
	mapper := filepath.Join(dev, "mapper")
	require.NoError(t, os.Mkdir(mapper, 0o755))
	f.kernel.PublishDevices(dev)
	f.dm = devmapper.NewWithNodes(f.kernel, mapper)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	node := filepath.Join(mapper, "test-thin-1")
	leave := func() {
		f.activate(t, p, 1)
		release := f.hold(t, "test-thin-1")
		gone, err := p.DeactivateThinDeferred(1)
		require.NoError(t, err)
		require.False(t, gone)
		release()
		_, err = os.Lstat(node)
		require.NoError(t, err)
	}
	leave()
	require.NoError(t, p.DeactivateThin(1))
	assert.NoFileExists(t, node)
	leave()
	gone, err := p.DeactivateThinDeferred(1)
	require.NoError(t, err)
	assert.True(t, gone)
	assert.NoFileExists(t, node)

	// A node that is missing is made, and one of somebody else's device stays.
	f.activate(t, p, 1)
	require.NoError(t, os.Remove(node))
	f.activate(t, p, 1)
	_, err = os.Lstat(node)
	require.NoError(t, err)
	assert.Equal(t, "/dev/mapper/test-thin-1", p.DevicePath(1))
	require.NoError(t, p.DeactivateThin(1))
	require.NoError(t, f.kernel.CreateDevice("test-thin-1", ""))
	require.NoError(t, os.Symlink("../dm-1", node))
	require.NoError(t, p.DeactivateThin(1))
	_, err = os.Lstat(node)
	require.NoError(t, err)
	// What is neither a link nor a device is an error.
	require.NoError(t, os.Remove(node))
	require.NoError(t, os.WriteFile(node, nil, 0o600))
	require.ErrorContains(t, p.DeactivateThin(1), "neither a link")
}

// The kernel lets go of the pool a moment after the last thin device's name is gone.
func TestDeactivatingWaitsForARemovalThatIsEnding(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	busy := 3
	refuse := func(c dmtest.Call) error {
		if c.Kind() == "remove" && busy > 0 {
			busy--
			return syscall.EBUSY
		}
		return nil
	}
	f.kernel.Inject(refuse)
	require.NoError(t, p.Deactivate(t.Context()))
	assert.Zero(t, busy)
	assert.Empty(t, f.kernel.Devices())

	f.kernel.Inject(nil)
	p, err := thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err)
	busy = 1 << 30
	f.kernel.Inject(refuse)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = p.Deactivate(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, devmapper.ErrBusy, "why it waited")
	f.kernel.Inject(nil)
	require.NoError(t, p.Deactivate(t.Context()))
}
