package devmapper_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
)

func requireVM(t *testing.T) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

func openKernel(t *testing.T) *devmapper.Client {
	t.Helper()
	requireVM(t)
	c, err := devmapper.Open()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// loop attaches a sparse file with the system's own losetup, as this package must
// not know loopback.
func loop(t *testing.T, mib int) devmapper.DevNo {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, int64(mib)<<20))
	dev := tool(t, "losetup", "--find", "--show", path)
	t.Cleanup(func() { tool(t, "losetup", "--detach", dev) })
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(dev, &st))
	return devmapper.DevNo{Major: uint32(st.Rdev >> 8), Minor: uint32(st.Rdev & 0xff)}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DM_DISABLE_UDEV=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %v: %s", name, args, stderr.String())
	return strings.TrimSpace(string(out))
}

func activate(t *testing.T, c *devmapper.Client, n string, table devmapper.Table, mode devmapper.Mode) devmapper.Info {
	t.Helper()
	uuid, err := devmapper.NewUUID("VENEER-test-" + n)
	require.NoError(t, err)
	info, err := c.Activate(name(t, n), uuid, table, mode)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := c.Remove(devmapper.ByName(name(t, n))); err != nil {
			assert.ErrorIs(t, err, devmapper.ErrNotExist)
		}
	})
	return info
}

// What dmsetup, with libdevmapper, says of our devices is what we say.
func TestAgreesWithDmsetup(t *testing.T) {
	c := openKernel(t)
	disk, log, metaDisk := loop(t, 64), loop(t, 64), loop(t, 8)
	for _, target := range []devmapper.Target{
		devmapper.Linear{Dev: disk, Offset: 8}, devmapper.Zero{}, devmapper.Fault{},
		devmapper.Delay{Dev: disk, Read: 1, Write: 2, Flush: 3},
		devmapper.Flakey{Dev: disk, Up: 60, Down: 1, Features: []string{"drop_writes"}},
		devmapper.LogWrites{Dev: disk, Log: log},
		devmapper.Dust{Dev: disk, BlockSize: 512},
		devmapper.ThinPool{Metadata: metaDisk, Data: disk, BlockSize: 128, LowWater: 3, SkipBlockZeroing: true, ErrorIfNoSpace: true},
	} {
		t.Run(target.Type(), func(t *testing.T) {
			n := "veneer-test-" + target.Type()
			info := activate(t, c, n, devmapper.Single(65536, target), devmapper.ReadWrite)
			ref := devmapper.ByName(info.Name)

			table, err := c.Table(ref)
			require.NoError(t, err)
			assert.Equal(t, tool(t, "dmsetup", "table", n), table.String())
			assert.Equal(t, target, table[0].Target, "the kernel gives back what was loaded, parsed")

			status, err := c.Status(ref)
			require.NoError(t, err)
			require.Len(t, status, 1)
			theirs := tool(t, "dmsetup", "status", "--noflush", n)
			assert.Equal(t, theirs, strings.TrimSpace("0 65536 "+status[0].Type+" "+status[0].Status))

			got, err := c.Info(ref)
			require.NoError(t, err)
			fields := strings.Split(tool(t, "dmsetup", "info", "-c", "--noheadings", "--separator", ",", "-o", "name,uuid,major,minor,open,segments,events,readonly,suspended,tables_loaded", n), ",")
			assert.Equal(t, []string{got.Name.String(), got.UUID.String()}, fields[:2])
			assert.Equal(t, got.Dev.String(), fields[2]+":"+fields[3])
			assert.Equal(t, "Writeable", fields[7])
			assert.Equal(t, "Active", fields[8])

			deps, err := c.Deps(ref)
			require.NoError(t, err)
			text := tool(t, "dmsetup", "deps", "-o", "devno", n)
			for _, dev := range deps {
				assert.Contains(t, text, "("+strings.Replace(dev.String(), ":", ", ", 1)+")")
			}
			entries, err := c.List(n)
			require.NoError(t, err)
			require.Len(t, entries, 1)
			assert.Equal(t, got.UUID.String(), entries[0].UUID)
			require.NoError(t, c.Remove(ref))
		})
	}
}

func TestNodesComeAndGo(t *testing.T) {
	c := openKernel(t)
	info := activate(t, c, "veneer-node", devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	content, err := os.ReadFile(info.Name.Path())
	require.NoError(t, err)
	assert.Equal(t, make([]byte, 4096), content)
	require.NoError(t, c.Rename(info.Name, name(t, "veneer-node2")))
	_, err = os.Lstat(info.Name.Path())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, c.Remove(devmapper.ByName(name(t, "veneer-node2"))))
	_, err = os.Lstat("/dev/mapper/veneer-node2")
	require.ErrorIs(t, err, os.ErrNotExist)
	// A node that a deferred removal left is swept by whoever asks next.
	info = activate(t, c, "veneer-node", devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	held, err := os.Open(info.Name.Path())
	require.NoError(t, err)
	require.ErrorIs(t, c.Remove(devmapper.ByName(info.Name)), devmapper.ErrBusy)
	removed, err := c.RemoveDeferred(devmapper.ByName(info.Name))
	require.NoError(t, err)
	assert.False(t, removed)
	require.NoError(t, held.Close())
	if err := c.Remove(devmapper.ByName(info.Name)); err != nil {
		// The kernel's own worker was quicker.
		require.ErrorIs(t, err, devmapper.ErrNotExist)
	}
	_, err = os.Lstat(info.Name.Path())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestEventsOfTheKernel(t *testing.T) {
	c := openKernel(t)
	w, err := c.Watch()
	require.NoError(t, err)
	defer func() { assert.NoError(t, w.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, w.Wait(ctx), context.DeadlineExceeded, "nothing has happened")
	activate(t, c, "veneer-event", devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	require.NoError(t, w.Wait(t.Context()))

	info := activate(t, c, "veneer-wait", devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	waitUntilRemoved(t, c, devmapper.ByName(info.Name), info.Event)
}

func TestErrorsOfTheKernel(t *testing.T) {
	c := openKernel(t)
	metaDisk, dataDisk := loop(t, 8), loop(t, 64)
	info := activate(t, c, "veneer-pool", devmapper.Single(131072, devmapper.ThinPool{Metadata: metaDisk, Data: dataDisk, BlockSize: 128}), devmapper.ReadWrite)
	ref := devmapper.ByName(info.Name)
	defer func() { assert.NoError(t, c.Remove(ref)) }()
	send := func(text string) error { _, err := c.Message(ref, 0, text); return err }
	require.NoError(t, send("create_thin 1"))
	assert.ErrorIs(t, send("create_thin 1"), devmapper.ErrExist)
	assert.ErrorIs(t, send("create_snap 2 9"), devmapper.ErrNotExist)
	assert.ErrorIs(t, send("delete 9"), devmapper.ErrNotExist)
	assert.ErrorIs(t, send("nonsense"), devmapper.ErrInvalid)
	_, err := c.Create(info.Name, devmapper.UUID{})
	assert.ErrorIs(t, err, devmapper.ErrExist)
	_, err = c.Activate(name(t, "veneer-other"), devmapper.UUID{}, devmapper.Single(131072, devmapper.ThinPool{Metadata: metaDisk, Data: dataDisk, BlockSize: 128}), devmapper.ReadWrite)
	assert.ErrorIs(t, err, devmapper.ErrBusy, "two pools on one metadata device")
	_, err = c.Activate(name(t, "veneer-thin"), devmapper.UUID{}, devmapper.Single(128, devmapper.Thin{Pool: info.Dev, ID: 9}), devmapper.ReadWrite)
	assert.ErrorIs(t, err, devmapper.ErrNotExist)
	_, err = c.Info(devmapper.ByName(name(t, "veneer-thin")))
	assert.ErrorIs(t, err, devmapper.ErrNotExist)
	_, err = c.TargetVersion("no-such-target")
	assert.ErrorIs(t, err, devmapper.ErrNotExist)
	v, err := c.TargetVersion("thin-pool")
	require.NoError(t, err)
	assert.True(t, v.AtLeast(1, 0))
	var de *devmapper.Error
	require.True(t, errors.As(send("delete 9"), &de))
	assert.Equal(t, syscall.ENODATA, de.Errno)
}

// The number of a closed descriptor is given to the next file that is opened: no operation
// may reach that.
func TestCloseOnTheKernel(t *testing.T) {
	requireVM(t)
	for range 50 {
		c, err := devmapper.Open()
		require.NoError(t, err)
		var begun, ended sync.WaitGroup
		for range 8 {
			begun.Add(1)
			ended.Go(func() {
				first := sync.OnceFunc(begun.Done)
				for {
					_, err := c.Version()
					first()
					if err != nil {
						assert.ErrorIs(t, err, devmapper.ErrClosed)
						return
					}
				}
			})
		}
		begun.Wait()
		require.NoError(t, c.Close())
		null, err := os.Open(os.DevNull)
		require.NoError(t, err)
		ended.Wait()
		require.NoError(t, null.Close())
	}
}

func TestStaleNodesOnTheKernel(t *testing.T) {
	c := openKernel(t)
	info := activate(t, c, "veneer-node", devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	target, err := os.Readlink(info.Name.Path())
	require.NoError(t, err, "a link, as udev makes it")
	assert.Equal(t, "../dm-"+strconv.Itoa(int(info.Dev.Minor)), target)
	require.NoError(t, syscall.Mknod("/dev/mapper/veneer-block", syscall.S_IFBLK|0o600, 253<<8|200))
	require.NoError(t, os.Symlink("../dm-200", "/dev/mapper/veneer-link"))
	stale, err := c.StaleNodes(func(n string) bool { return strings.HasPrefix(n, "veneer-") || n == "control" })
	require.NoError(t, err)
	assert.Equal(t, []devmapper.Name{name(t, "veneer-block"), name(t, "veneer-link")}, stale)
	for _, n := range stale {
		require.NoError(t, c.RemoveStaleNode(n))
		_, err := os.Lstat(n.Path())
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	require.ErrorIs(t, c.RemoveStaleNode(info.Name), devmapper.ErrExist)

	entries, err := c.ListUUID("VENEER-test-veneer-n")
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "veneer-node", entries[0].Name)
	assert.Equal(t, info.UUID.String(), entries[0].UUID)
	entries, err = c.ListUUID("ENEER-test")
	require.NoError(t, err)
	assert.Empty(t, entries)
}
