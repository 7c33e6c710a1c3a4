package loopback

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/test/waittest"
)

// needLoop lets tests run on any host that can attach loop devices; the virtual
// machine always can.
func needLoop(t *testing.T) {
	t.Helper()
	if os.Getenv("VENEER_VM") != "" {
		return
	}
	control, err := openControl()
	if os.Getuid() != 0 || err != nil {
		t.Skip("needs the VM: make test-vm")
	}
	control.Close()
}

// newImage makes an image whose first bytes are its name.
func newImage(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	require.NoError(t, CreateImage(path, size))
	require.NoError(t, writeName(path))
	return path
}

// writeName makes a file begin with its name.
func writeName(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(path)
	return errors.Join(err, file.Close())
}

// detachLater detaches d at the end of the test, whatever became of it.
func detachLater(t *testing.T, d Device) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Detach(context.Background()); err != nil {
			assert.ErrorIs(t, err, ErrNotAttached)
		}
	})
}

func mustAttach(t *testing.T, path string, o Options) Device {
	t.Helper()
	d, err := Attach(t.Context(), path, o)
	require.NoError(t, err)
	detachLater(t, d)
	return d
}

func TestAttachDescribesTheDevice(t *testing.T) {
	needLoop(t)
	path := newImage(t, 8*mib)
	d := mustAttach(t, path, Options{DirectIO: true, BlockSize: 4096})
	assert.Equal(t, path, d.BackingFile)
	assert.EqualValues(t, 8*mib, d.Size)
	assert.Equal(t, 4096, d.BlockSize)
	assert.True(t, d.DirectIO, "the scratch filesystem can do it")
	assert.False(t, d.ReadOnly)
	assert.False(t, d.AutoClear)
	assert.EqualValues(t, 7, d.Major)

	var st unix.Stat_t
	require.NoError(t, unix.Stat(d.Path, &st))
	assert.Equal(t, unix.Mkdev(d.Major, d.Minor), st.Rdev)
	assertContent(t, d, path)

	again, err := Get(d.Number)
	require.NoError(t, err)
	assert.Equal(t, d, again)
	assert.Equal(t, d.Path+" of "+path, d.String())
}

func assertContent(t *testing.T, d Device, want string) {
	t.Helper()
	node, err := os.Open(d.Path)
	require.NoError(t, err)
	defer node.Close()
	got := make([]byte, len(want))
	_, err = node.ReadAt(got, 0)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}

func TestAttachReadOnly(t *testing.T) {
	needLoop(t)
	path := newImage(t, mib)
	require.NoError(t, os.Chmod(path, 0o400))
	d := mustAttach(t, path, Options{ReadOnly: true})
	assert.True(t, d.ReadOnly)
	assert.Equal(t, 512, d.BlockSize)
	assert.False(t, d.DirectIO)
	node, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err == nil {
		_, err = node.Write(make([]byte, 512))
		node.Close()
	}
	assert.Error(t, err)
}

// TestLegacyAttachMatches takes the way of old kernels on this one.
func TestLegacyAttachMatches(t *testing.T) {
	needLoop(t)
	for _, o := range []Options{{}, {ReadOnly: true}, {DirectIO: true, BlockSize: 4096}} {
		path := newImage(t, mib)
		backing, err := os.Open(path)
		require.NoError(t, err)
		var old Device
		err = retry(t.Context(), attachAttempts, attachPause, func() (err error) {
			old, err = attachLegacy(backing, o)
			return err
		})
		require.NoError(t, err)
		detachLater(t, old)
		require.NoError(t, backing.Close())
		want := mustAttach(t, path, o)
		got := old
		got.Number, got.Path, got.Minor = want.Number, want.Path, want.Minor
		assert.Equal(t, want, got, "%+v", o)
	}
}

func TestLegacyAdjustRefusesAnothersDevice(t *testing.T) {
	needLoop(t)
	d := mustAttach(t, newImage(t, mib), Options{})
	other, err := os.Open(newImage(t, mib))
	require.NoError(t, err)
	defer other.Close()
	_, err = adjust(d.Number, other, Options{BlockSize: 4096})
	assert.ErrorIs(t, err, ErrNotAttached)
	assert.ErrorIs(t, clearIfOf(d.Number, other), ErrNotAttached)
	now, err := Get(d.Number)
	require.NoError(t, err)
	assert.Equal(t, d, now, "it was left alone")
}

func TestFindGoesByIdentity(t *testing.T) {
	needLoop(t)
	path := newImage(t, mib)
	found, err := Find(path)
	require.NoError(t, err)
	assert.Empty(t, found)

	d := mustAttach(t, path, Options{})
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	renamed := path + strings.Repeat("-renamed", 20) // beyond the 64 bytes of the status
	require.NoError(t, os.Rename(path, renamed))
	require.NoError(t, os.WriteFile(path, nil, 0o600), "another file takes the old name")

	found, err = Find(path)
	require.NoError(t, err)
	assert.Empty(t, found)
	found, err = Find(renamed)
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, d.Number, found[0].Number)
	assert.Equal(t, renamed, found[0].BackingFile)

	second := mustAttach(t, renamed, Options{ReadOnly: true})
	found, err = Find(renamed)
	require.NoError(t, err)
	assert.Len(t, found, 2)
	require.NoError(t, second.Detach(t.Context()))

	require.NoError(t, os.Remove(renamed))
	now, err := Get(d.Number)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(now.BackingFile, " (deleted)"), now.BackingFile)
	_, err = Find(renamed)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestGrow(t *testing.T) {
	needLoop(t)
	path := newImage(t, mib)
	d := mustAttach(t, path, Options{DirectIO: true, BlockSize: 4096})
	require.NoError(t, GrowImage(path, 3*mib))
	grown, err := d.Grow()
	require.NoError(t, err)
	assert.EqualValues(t, 3*mib, grown.Size)
	d.Size = grown.Size
	assert.Equal(t, d, grown, "nothing else changed")
	node, err := os.OpenFile(grown.Path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = node.WriteAt(bytes.Repeat([]byte{0xa5}, 4096), 3*mib-4096)
	require.NoError(t, err)
	require.NoError(t, node.Sync())
	require.NoError(t, node.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.EqualValues(t, 0xa5, content[3*mib-1])
}

func TestDetach(t *testing.T) {
	needLoop(t)
	path := newImage(t, mib)
	d := mustAttach(t, path, Options{})
	require.NoError(t, d.Detach(t.Context()))
	found, err := Find(path)
	require.NoError(t, err)
	assert.Empty(t, found)
	assert.ErrorIs(t, d.Detach(t.Context()), ErrNotAttached)
	_, err = d.Grow()
	assert.ErrorIs(t, err, ErrNotAttached)
	_, err = Get(d.Number)
	assert.ErrorIs(t, err, ErrNotAttached)
	_, err = Get(99999)
	assert.ErrorIs(t, err, ErrNotAttached)
}

func TestDetachNeverTakesAnothersDevice(t *testing.T) {
	needLoop(t)
	d := mustAttach(t, newImage(t, mib), Options{})
	stale := d
	stale.FileIno++
	assert.ErrorIs(t, stale.Detach(t.Context()), ErrNotAttached)
	_, err := stale.Grow()
	assert.ErrorIs(t, err, ErrNotAttached)
	now, err := Get(d.Number)
	require.NoError(t, err)
	assert.Equal(t, d, now)
}

func TestDetachOfAnOpenDeviceIsBounded(t *testing.T) {
	needLoop(t)
	d := mustAttach(t, newImage(t, mib), Options{})
	user, err := os.Open(d.Path)
	require.NoError(t, err)
	defer user.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = d.Detach(ctx)
	assert.ErrorIs(t, err, ErrBusy)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, user.Close())
	waittest.Until(t, "the kernel lets go", func() bool { _, err := Get(d.Number); return err != nil })
}

func TestDetachLeavesAMountedDeviceAlone(t *testing.T) {
	needLoop(t)
	path := newImage(t, 16*mib)
	makeExt4(t, path)
	d := mustAttach(t, path, Options{})
	target := t.TempDir()
	require.NoError(t, unix.Mount(d.Path, target, "ext4", 0, ""))
	err := d.Detach(t.Context())
	assert.ErrorIs(t, err, ErrBusy)
	assert.ErrorContains(t, err, target)
	now, getErr := Get(d.Number)
	require.NoError(t, getErr)
	assert.False(t, now.AutoClear, "it was not even asked")
	require.NoError(t, unix.Unmount(target, 0))
	require.NoError(t, d.Detach(t.Context()))
}

// TestAttachAtOnce makes many takers race for the same free devices.
func TestAttachAtOnce(t *testing.T) {
	needLoop(t)
	const takers, rounds = 12, 4
	var all sync.WaitGroup
	for range takers {
		path := newImage(t, mib)
		all.Go(func() {
			for range rounds {
				d, err := Attach(context.Background(), path, Options{DirectIO: true, BlockSize: 4096})
				if !assert.NoError(t, err) {
					return
				}
				assert.Equal(t, path, d.BackingFile)
				assertContent(t, d, path)
				assert.NoError(t, d.Detach(context.Background()))
			}
		})
	}
	all.Wait()
}

func TestListIsInOrder(t *testing.T) {
	needLoop(t)
	var want []int
	for range 3 {
		want = append(want, mustAttach(t, newImage(t, mib), Options{}).Number)
	}
	devices, err := List()
	require.NoError(t, err)
	var numbers []int
	for _, d := range devices {
		numbers = append(numbers, d.Number)
	}
	assert.IsIncreasing(t, numbers)
	assert.Subset(t, numbers, want)
}

// TestMissingNodeIsMade is about a /dev that no devtmpfs keeps, as in a container.
func TestMissingNodeIsMade(t *testing.T) {
	needLoop(t)
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm") // it removes nodes from /dev
	}
	path := newImage(t, mib)
	d := mustAttach(t, path, Options{})
	require.NoError(t, os.Remove(d.Path))
	require.NoError(t, os.Remove("/dev/loop-control"))
	now, err := Get(d.Number)
	require.NoError(t, err)
	assert.Equal(t, d, now)
	mustAttach(t, newImage(t, mib), Options{})
}

func TestWithoutTheLoopDriver(t *testing.T) {
	if os.Getenv("VENEER_VM") != "uml" {
		t.Skip("needs a kernel of its own: make test-vm with User-Mode Linux") // it unloads the driver
	}
	modules, err := filepath.Glob("/usr/lib/uml/modules/*/kernel/drivers/block/loop.ko")
	require.NoError(t, err)
	require.NotEmpty(t, modules)
	require.NoError(t, unix.DeleteModule("loop", unix.O_NONBLOCK))
	_, attachErr := Attach(t.Context(), newImage(t, mib), Options{})

	module, err := os.Open(modules[len(modules)-1])
	require.NoError(t, err)
	defer module.Close()
	require.NoError(t, unix.FinitModule(int(module.Fd()), "", 0))
	assert.ErrorIs(t, attachErr, ErrNoLoop)
	assert.ErrorContains(t, attachErr, "modprobe loop")
	mustAttach(t, newImage(t, mib), Options{})
}
