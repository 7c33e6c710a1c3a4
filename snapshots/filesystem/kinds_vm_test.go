package filesystem_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/ioctl"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// device is a loop device with a filesystem.
type device struct {
	*testing.T
	kind filesystem.Kind
	loop loopback.Device
}

// testUUID is what the filesystems of these tests are made with.
const testUUID = "3e6be9de-8139-11d1-9106-a43f08d823a6"

// options are for small filesystems with a small log, so that tests go round in it.
var options = map[string][]string{
	"ext4": {"-U", testUUID, "-J", "size=4"},
	"xfs":  {"-m", "uuid=" + testUUID, "-l", "size=1600b"},
}

// eachKind runs a test on a device of the least size of each kind.
func eachKind(t *testing.T, test func(d *device)) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	for _, name := range filesystem.Names() {
		t.Run(name, func(t *testing.T) {
			k, err := filesystem.ByName(name)
			require.NoError(t, err)
			dir, err := os.MkdirTemp(os.Getenv("VENEER_SCRATCH"), "filesystem-") //nolint:usetesting // loop devices stand on a disk
			require.NoError(t, err)
			file := filepath.Join(dir, "image")
			require.NoError(t, loopback.CreateImage(file, int64(max(64<<20, k.LeastSize()))))
			d := &device{T: t, kind: k}
			d.loop, err = loopback.Attach(t.Context(), file, loopback.Options{DirectIO: true, BlockSize: 4096})
			require.NoError(t, err)
			defer func() {
				require.NoError(t, errors.Join(d.loop.Detach(context.WithoutCancel(t.Context())), os.RemoveAll(dir)))
			}()
			for _, name := range []string{"TEST_DIR", "TEST_DEV", "QA_CHECK_FS"} {
				t.Setenv(name, "1") // else mkfs.xfs makes no log below 64 MiB
			}
			require.NoError(t, filesystem.Make(t.Context(), filesystem.Format{Filesystem: name, Device: d.loop.Path, Zeroed: true, Options: options[name]}))
			test(d)
		})
	}
}

func (d *device) mount(readOnly bool) filesystem.Mount {
	return filesystem.MountOf(d.kind.Name(), d.loop.Path, readOnly)
}

func (d *device) look() filesystem.State {
	d.Helper()
	s, err := filesystem.Look(d.loop.Path)
	require.NoError(d, err)
	return s
}

// setReadOnly is BLKROSET.
func (d *device) setReadOnly(yes uint32) {
	d.Helper()
	f, err := os.Open(d.loop.Path)
	require.NoError(d, err)
	require.NoError(d, ioctl.Do(f.Fd(), unix.BLKROSET, binary.NativeEndian.AppendUint32(nil, yes)))
	require.NoError(d, f.Close())
}

// mountsReadOnly asks the kernel whether a read-only device is mounted without a replay.
func (d *device) mountsReadOnly() bool {
	d.Helper()
	d.setReadOnly(1)
	defer d.setReadOnly(0)
	tree, err := d.mount(true).Open()
	if err != nil {
		require.True(d, errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES), "%v", err)
		return false
	}
	require.NoError(d, tree.Close())
	return true
}

func TestMadeFilesystem(t *testing.T) {
	eachKind(t, func(d *device) {
		s := d.look()
		assert.Equal(t, d.kind.Name(), s.Kind)
		assert.EqualValues(t, d.loop.Size, s.Size)
		assert.Equal(t, strings.ReplaceAll(testUUID, "-", ""), hex.EncodeToString(s.UUID[:]))
		assert.False(t, s.NeedsReplay)
		sb, err := filesystem.Identify(d.loop.Path)
		require.NoError(t, err)
		assert.Equal(t, s.Superblock, sb)
		assert.True(t, d.mountsReadOnly())
		assert.Empty(t, filesystem.MissingTools(d.kind.Name()))
		tree, err := d.mount(true).Open()
		require.NoError(t, err)
		entries, err := os.ReadDir(tree.Path())
		require.NoError(t, errors.Join(err, tree.Close()))
		assert.Empty(t, entries, "no lost+found")
	})
}

func TestLeastSizeIsEnough(t *testing.T) {
	eachKind(t, func(d *device) {
		file := filepath.Join(filepath.Dir(d.loop.BackingFile), "least")
		require.NoError(t, loopback.CreateImage(file, int64(d.kind.LeastSize())))
		small, err := loopback.Attach(t.Context(), file, loopback.Options{DirectIO: true, BlockSize: 4096})
		require.NoError(t, err)
		err = filesystem.Make(t.Context(), filesystem.Format{Filesystem: d.kind.Name(), Device: small.Path})
		require.NoError(t, errors.Join(err, small.Detach(t.Context())))
	})
}

// It grows while it is mounted elsewhere, and a repetition does no harm.
func TestGrow(t *testing.T) {
	eachKind(t, func(d *device) {
		tree, err := d.mount(false).Open()
		require.NoError(t, err)
		want := 2 * d.loop.Size
		require.NoError(t, loopback.GrowImage(d.loop.BackingFile, want))
		d.loop, err = d.loop.Grow()
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, filesystem.Grow(t.Context(), d.mount(false)))
		}
		require.NoError(t, tree.Close())
		s := d.look()
		assert.EqualValues(t, want, s.Size)
		assert.False(t, s.NeedsReplay)
	})
}

// shutDown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN of fs/ext4/ext4.h and
// fs/xfs/libxfs/xfs_fs.h. Its argument 1 writes the log first, 2 does not.
const shutDown = 0x8004587d

// Histories of mounts that end in an unmount or in none, with work between: whether the
// log is to be replayed is what the kernel says, at each point.
func TestTheKernelAgrees(t *testing.T) {
	eachKind(t, func(d *device) {
		r := rand.New(rand.NewPCG(7, 7))
		dirty, rounds := 0, 50
		head, wraps := 0, 0
		for n := range rounds {
			tree, err := d.mount(false).Open()
			require.NoError(t, err)
			d.work(r, tree, n)
			if end := uint32(r.IntN(3)); end > 0 {
				require.NoError(t, ioctl.Do(uintptr(tree.FD()), shutDown, binary.NativeEndian.AppendUint32(nil, end)))
				_ = tree.Close() // says EIO
			} else {
				require.NoError(t, tree.Close())
			}
			s := d.look()
			require.Equal(t, d.mountsReadOnly(), !s.NeedsReplay, "round %d", n)
			if s.NeedsReplay {
				dirty++
			}
			if d.kind.Name() == "xfs" {
				now, clean := d.logprint()
				require.Equal(t, clean, !s.NeedsReplay, "round %d", n)
				if now < head {
					wraps++
				}
				head = now
			}
			if s.NeedsReplay && r.IntN(2) == 0 {
				require.NoError(t, filesystem.Replay(t.Context(), d.mount(false)))
				require.False(t, d.look().NeedsReplay, "round %d", n)
				require.True(t, d.mountsReadOnly(), "round %d", n)
			}
		}
		t.Logf("dirty after %d of %d rounds, %d times round the log", dirty, rounds, wraps)
		if d.kind.Name() == "xfs" {
			assert.Greater(t, wraps, 1)
		}
		assert.Positive(t, dirty)
		assert.Less(t, dirty, rounds)
	})
}

var logprinted = regexp.MustCompile(`head: (\d+) state: <(CLEAN|DIRTY)>`)

// logprint is what xfsprogs says about a log.
func (d *device) logprint() (head int, clean bool) {
	d.Helper()
	out, err := exec.Command("xfs_logprint", "-t", d.loop.Path).CombinedOutput()
	require.NoError(d, err, "%s", out)
	found := logprinted.FindSubmatch(out)
	require.NotNil(d, found, "%s", out)
	head, err = strconv.Atoi(string(found[1]))
	require.NoError(d, err)
	return head, string(found[2]) == "CLEAN"
}

// work makes, changes and removes files.
func (d *device) work(r *rand.Rand, tree *filesystem.Tree, round int) {
	d.Helper()
	dir := fmt.Sprintf("%s/%d", tree.Path(), round%4)
	require.NoError(d, os.RemoveAll(dir))
	require.NoError(d, os.Mkdir(dir, 0o700))
	for i := range r.IntN(400) {
		f, err := os.Create(fmt.Sprintf("%s/%d", dir, i))
		require.NoError(d, err)
		_, err = f.Write(make([]byte, r.IntN(3000)))
		if err == nil && r.IntN(3) == 0 {
			err = f.Sync() // a write of the log
		}
		require.NoError(d, errors.Join(err, f.Close()))
	}
}
