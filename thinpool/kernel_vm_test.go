package thinpool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %v: %s", name, args, stderr.String())
	return strings.TrimSpace(string(out))
}

// newKernelPool makes a pool of 64 MiB on loop devices, and takes all of it away at the
// end of the test.
func newKernelPool(t *testing.T) (*devmapper.Client, *thinpool.Pool, thinpool.Spec) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	dm, err := devmapper.Open()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, dm.Close()) })
	disk := func(name string, size int64) thinpool.Disk {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, size))
		dev := tool(t, "losetup", "--find", "--show", path)
		t.Cleanup(func() { tool(t, "losetup", "--detach", dev) })
		var st unix.Stat_t
		require.NoError(t, unix.Stat(dev, &st))
		return thinpool.Disk{Path: dev, Dev: devmapper.DevNo{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}, Size: devmapper.Sectors(size / 512)}
	}
	spec := thinpool.Spec{Name: "kernel", BlockSize: 128, Metadata: disk("meta", 4*mib), Data: disk("data", 64*mib)}
	p, err := thinpool.Create(t.Context(), dm, spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		devices := thinpool.DevicesOf(dm, spec.Name)
		ids, err := devices.ActiveThins()
		assert.NoError(t, err)
		for _, id := range ids {
			assert.NoError(t, devices.DeactivateThin(id))
		}
		assert.NoError(t, devices.DeactivatePool(context.WithoutCancel(t.Context())))
		tool(t, "thin_check", spec.Metadata.Path)
	})
	return dm, p, spec
}

// stuckWriter writes a block past the page cache, and waits until it is stuck in the kernel.
func stuckWriter(t *testing.T, path string) (written <-chan error, file *os.File) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	require.NoError(t, err)
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	ended, thread := make(chan error, 1), make(chan int, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		_, err := unix.Pwrite(int(file.Fd()), page, 0)
		ended <- errors.Join(err, unix.Munmap(page))
	}()
	stat := "/proc/self/task/" + strconv.Itoa(<-thread) + "/stat"
	for {
		line, err := os.ReadFile(stat)
		require.NoError(t, err)
		_, state, _ := bytes.Cut(line, []byte(") "))
		if state[0] == 'D' {
			return ended, file
		}
		runtime.Gosched()
	}
}

// The kernel would keep a suspended device that is open for ever: the I/O of whoever has
// it open waits, and so the device is not closed.
func TestDeactivatingSuspendedDevicesOnTheKernel(t *testing.T) {
	dm, p, _ := newKernelPool(t)
	require.NoError(t, p.CreateThin(1))
	activate := func() *thinpool.Live {
		live, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
		require.NoError(t, err)
		return live
	}
	live := activate()
	ref := devmapper.ByName(live.Name)
	none := func() {
		t.Helper()
		live, err := p.Lookup(1)
		require.NoError(t, err)
		assert.Nil(t, live)
	}

	// Nobody has it open.
	require.NoError(t, dm.Suspend(ref, 0))
	require.NoError(t, p.DeactivateThin(1))
	none()
	activate()
	require.NoError(t, dm.Suspend(ref, devmapper.NoFlush|devmapper.SkipLockFS))
	gone, err := p.DeactivateThinDeferred(1)
	require.NoError(t, err)
	assert.True(t, gone)
	none()

	// A writer waits.
	activate()
	require.NoError(t, dm.Suspend(ref, 0))
	written, file := stuckWriter(t, live.Path())
	require.ErrorIs(t, p.DeactivateThin(1), devmapper.ErrBusy)
	require.NoError(t, <-written)
	require.NoError(t, file.Close())
	require.NoError(t, p.DeactivateThin(1))
	none()
	activate()
	require.NoError(t, dm.Suspend(ref, 0))
	written, file = stuckWriter(t, live.Path())
	gone, err = p.DeactivateThinDeferred(1)
	require.NoError(t, err)
	assert.False(t, gone)
	require.NoError(t, <-written)
	require.NoError(t, file.Close())
	require.NoError(t, p.DeactivateThin(1), "the kernel's own worker may be quicker")
	none()

	// The pool is suspended: its thin devices are too, by the kernel.
	activate()
	require.NoError(t, dm.Suspend(devmapper.ByDev(p.Dev()), 0))
	require.NoError(t, p.DeactivateThin(1))
	require.NoError(t, dm.Resume(devmapper.ByDev(p.Dev())))
	none()
}

func TestDevicesWithoutATableOnTheKernel(t *testing.T) {
	dm, p, spec := newKernelPool(t)
	require.NoError(t, p.CreateThin(1))
	half := func(id string) {
		name, err := devmapper.NewName("kernel-thin-" + id)
		require.NoError(t, err)
		uuid, err := devmapper.NewUUID("VENEER-kernel-" + id)
		require.NoError(t, err)
		_, err = dm.Create(name, uuid)
		require.NoError(t, err)
	}
	half("1")
	half("2")
	ids, err := p.ActiveThins()
	require.NoError(t, err)
	assert.ElementsMatch(t, []dmthin.ThinID{1, 2}, ids)
	live, err := p.Lookup(2)
	require.NoError(t, err)
	assert.False(t, live.HasTable)
	_, err = p.ActivateThin(2, 8*mib, devmapper.ReadWrite)
	require.ErrorIs(t, err, thinpool.ErrNoThin)
	live, err = p.Lookup(2)
	require.NoError(t, err)
	assert.Nil(t, live)
	live, err = p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	assert.True(t, live.HasTable)
	require.NoError(t, p.ResumeThin(1))
	half("3")
	require.NoError(t, p.ResumeThin(3))
	require.NoError(t, p.DeactivateThin(3))
	half("3")
	name, err := devmapper.NewName("kernel-thin-3")
	require.NoError(t, err)
	require.NoError(t, dm.Suspend(devmapper.ByName(name), 0))
	gone, err := p.DeactivateThinDeferred(3)
	require.NoError(t, err)
	assert.True(t, gone)

	// A table that was staged and never activated.
	table, err := dm.Table(devmapper.ByName(live.Name))
	require.NoError(t, err)
	larger := devmapper.Single(2*table.Length(), table[0].Target)
	require.NoError(t, dm.Load(devmapper.ByName(live.Name), larger, devmapper.ReadWrite))
	require.NoError(t, p.CreateSnapshot(4, 1))
	after, err := dm.Table(devmapper.ByName(live.Name))
	require.NoError(t, err)
	assert.Equal(t, table, after)
	_, err = p.ActivateThin(1, 16*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	after, err = dm.Table(devmapper.ByName(live.Name))
	require.NoError(t, err)
	assert.Equal(t, larger, after)

	require.NoError(t, p.DeactivateThin(1))
	require.NoError(t, p.Deactivate(t.Context()))
	name, err = devmapper.NewName("kernel")
	require.NoError(t, err)
	uuid, err := devmapper.NewUUID("VENEER-kernel-pool")
	require.NoError(t, err)
	_, err = dm.Create(name, uuid)
	require.NoError(t, err)
	again, err := thinpool.Open(t.Context(), dm, spec)
	require.NoError(t, err)
	require.NoError(t, again.Delete(4))
}

// A device goes away at its last close while it is being activated.
func TestActivationRacesARemovalOnTheKernel(t *testing.T) {
	_, p, _ := newKernelPool(t)
	require.NoError(t, p.CreateThin(1))
	for range 100 {
		live, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
		require.NoError(t, err)
		file, err := os.Open(live.Path())
		require.NoError(t, err)
		_, err = p.DeactivateThinDeferred(1)
		require.NoError(t, err)
		closed := make(chan error)
		go func() { closed <- file.Close() }()
		live, err = p.ActivateThin(1, 8*mib, devmapper.ReadOnly)
		require.NoError(t, err)
		require.NoError(t, <-closed)
		assert.True(t, live.HasTable)
		now, err := p.Lookup(1)
		require.NoError(t, err)
		require.NotNil(t, now, "the removal was called off, or had ended")
		assert.False(t, now.Deferred)
		var st syscall.Stat_t
		require.NoError(t, syscall.Stat(live.Path(), &st), "it has its node")
		require.NoError(t, p.DeactivateThin(1))
	}
}
