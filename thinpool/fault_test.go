package thinpool_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// failOnce has the next operation of that kind fail.
func (f *fixture) failOnce(errno syscall.Errno, chosen func(dmtest.Call) bool) {
	done := false
	f.kernel.Inject(func(c dmtest.Call) error {
		if done || !chosen(c) {
			return nil
		}
		done = true
		return errno
	})
}

func isResume(c dmtest.Call) bool { return c.Detail == "resume" }

// The kernel suspends a device to give it another table, and leaves it so when that
// fails: whoever has it mounted would hang.
func TestFailedSwapLeavesNothingSuspended(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	live, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	f.failOnce(syscall.ENOMEM, isResume)
	require.ErrorIs(t, p.ResizeThin(1, 16*mib), syscall.ENOMEM)
	info, err := f.dm.Info(devmapper.ByName(live.Name))
	require.NoError(t, err)
	assert.False(t, info.Suspended)
	assert.False(t, info.Inactive, "no table waits for somebody else's resume")

	f.kernel.AddDisk(f.spec.Data.Dev, 128*mib/512)
	grown := f.spec
	grown.Data.Size = 128 * mib / 512
	f.failOnce(syscall.ENOSPC, isResume)
	require.ErrorIs(t, p.Grow(grown), syscall.ENOSPC)
	info, err = f.dm.Info(devmapper.ByDev(p.Dev()))
	require.NoError(t, err)
	assert.False(t, info.Suspended)
	require.NoError(t, p.Grow(grown))
	w, err := p.Working()
	require.NoError(t, err)
	assert.EqualValues(t, 128*mib/(64<<10), w.TotalData)
}

// A metadata snapshot that could not be given back, or that was taken although the
// answer says otherwise, would keep everybody from the next one.
func TestMetadataSnapshotIsNotForgotten(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	read := func() error {
		return p.ReadMetadata(context.Background(), func(*dmthin.Metadata) error { return nil })
	}
	asked := 0
	for name, chosen := range map[string]func(dmtest.Call) bool{
		"release fails": func(c dmtest.Call) bool { return c.Detail == "release_metadata_snap" },
		"status after reserve fails": func(c dmtest.Call) bool {
			if c.Detail == "reserve_metadata_snap" {
				asked = c.Index
			}
			return asked > 0 && c.Index > asked
		},
	} {
		f.failOnce(syscall.ENOMEM, chosen)
		require.ErrorIs(t, read(), syscall.ENOMEM, name)
		f.kernel.Inject(nil)
		require.NoError(t, read(), name)
		w, err := p.Working()
		require.NoError(t, err)
		assert.Zero(t, w.HeldRoot, name)
	}
	// Somebody else's is left alone.
	_, err := f.dm.Message(devmapper.ByDev(p.Dev()), 0, "reserve_metadata_snap")
	require.NoError(t, err)
	require.ErrorIs(t, read(), devmapper.ErrBusy)
	w, err := p.Working()
	require.NoError(t, err)
	assert.NotZero(t, w.HeldRoot)
}

// A pool whose device is gone has not lost its thin devices.
func TestMissingPoolIsNoMissingThin(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.ErrorIs(t, p.Delete(9), thinpool.ErrNoThin)
	_, err := p.ActivateThin(9, 8*mib, devmapper.ReadWrite)
	require.ErrorIs(t, err, thinpool.ErrNoThin)
	f.failOnce(syscall.ENXIO, func(c dmtest.Call) bool { return c.Op == "message" })
	require.NotErrorIs(t, p.Delete(9), thinpool.ErrNoThin)
	f.failOnce(syscall.ENXIO, func(c dmtest.Call) bool { return c.Op == "table load" })
	_, err = p.ActivateThin(9, 8*mib, devmapper.ReadWrite)
	require.NotErrorIs(t, err, thinpool.ErrNoThin)
	require.ErrorIs(t, err, syscall.ENXIO)
	f.failOnce(syscall.EPERM, func(c dmtest.Call) bool { return c.Op == "message" })
	require.ErrorIs(t, p.CreateThin(1), devmapper.ErrReadOnly, "and not a lack of permission")
}

// After an error a pool is active only if it was before.
func TestFailedActivationOfThePool(t *testing.T) {
	f := newFixture(t, 64*mib)
	var fired bool
	f.kernel.Inject(dmtest.FailNth("table status", 0, syscall.EIO, &fired))
	_, err := thinpool.Create(t.Context(), f.dm, f.spec)
	require.ErrorIs(t, err, syscall.EIO)
	assert.Empty(t, f.kernel.Devices())
	f.kernel.WipeDisk(f.spec.Metadata.Dev)
	f.kernel.Inject(nil)

	p := f.create(t)
	for i := range 2 { // the table, and the status
		fired = false
		f.kernel.Inject(dmtest.FailNth("table status", i, syscall.EIO, &fired))
		_, err = thinpool.Open(t.Context(), f.dm, f.spec)
		require.ErrorIs(t, err, syscall.EIO)
		require.True(t, fired)
		assert.Equal(t, []string{"test"}, f.kernel.Devices())
	}
	f.kernel.Inject(nil)
	_, err = f.dm.Message(ref(t, "test"), 0, "reserve_metadata_snap")
	require.NoError(t, err)
	f.kernel.Inject(dmtest.FailNth("message release_metadata_snap", 0, syscall.EIO, &fired))
	_, err = thinpool.Open(t.Context(), f.dm, f.spec)
	require.ErrorIs(t, err, syscall.EIO)
	assert.Equal(t, []string{"test"}, f.kernel.Devices())

	// One without a table was not active.
	f.kernel.Inject(nil)
	require.NoError(t, p.Deactivate(t.Context()))
	require.NoError(t, f.kernel.CreateDevice("test", "VENEER-test-pool"))
	f.kernel.Inject(dmtest.FailNth("table status", 0, syscall.EIO, &fired))
	_, err = thinpool.Open(t.Context(), f.dm, f.spec)
	require.ErrorIs(t, err, syscall.EIO)
	assert.Empty(t, f.kernel.Devices())
}
