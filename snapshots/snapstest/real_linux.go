package snapstest

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/ioctl"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// Real is the machine that the test runs on, with a store in a scratch folder.
type Real struct {
	dir        string
	filesystem string
	dm         *devmapper.Client
	// Check examines the metadata of a deactivated pool; nil does nothing.
	Check func(t testing.TB, metadata string)
}

// NewReal makes a store's folder below $VENEER_SCRATCH, which must be on a disk:
// a real kernel's page cache and loop devices do not stand on tmpfs.
func NewReal(t testing.TB, filesystem string) *Real {
	scratch := os.Getenv("VENEER_SCRATCH")
	require.NotEmpty(t, scratch, "VENEER_SCRATCH names no folder")
	dir, err := os.MkdirTemp(scratch, "store-") //nolint:usetesting // its name is the pool's, and has to be its own
	require.NoError(t, err)
	dm, err := devmapper.Open()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, dm.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
	return &Real{dir: dir, filesystem: filesystem, dm: dm}
}

// Config is for the kernel's device-mapper.
func (r *Real) Config() snapshots.Config { return snapshots.Config{Root: r.dir, DM: r.dm} }

// Options are for a small pool on loop files.
func (r *Real) Options() snapshots.PoolOptions {
	base := uint64(64 << 20)
	if k, err := filesystem.ByName(r.filesystem); err == nil {
		base = max(base, k.LeastSize())
	}
	return snapshots.PoolOptions{Name: filepath.Base(r.dir), DataSize: 2 << 30, MetadataSize: 16 << 20, BaseSize: base, Filesystem: r.filesystem}
}

// Reboot takes devices and loop devices away, as a reboot does, without asking the driver.
func (r *Real) Reboot(t testing.TB) {
	name := filepath.Base(r.dir)
	entries, err := r.dm.List(name)
	require.NoError(t, err)
	for _, thins := range []bool{true, false} {
		for _, e := range entries {
			if thins == (e.Name != name) {
				n, err := devmapper.NewName(e.Name)
				require.NoError(t, err)
				require.NoError(t, r.dm.Remove(devmapper.ByName(n)))
			}
		}
	}
	for _, d := range r.loops(t) {
		require.NoError(t, d.Detach(t.Context()))
	}
}

func (r *Real) loops(t testing.TB) (ours []loopback.Device) {
	all, err := loopback.List()
	require.NoError(t, err)
	for _, d := range all {
		if strings.HasPrefix(d.BackingFile, r.dir) {
			ours = append(ours, d)
		}
	}
	return ours
}

// CheckPool calls Check with the pool's metadata file.
func (r *Real) CheckPool(t testing.TB) {
	t.Helper()
	if r.Check != nil {
		meta, _ := r.PoolFiles()
		r.Check(t, meta)
	}
}

// LeftOver names devices, loop devices and files.
func (r *Real) LeftOver(t testing.TB) (left []string) {
	entries, err := r.dm.List(filepath.Base(r.dir))
	require.NoError(t, err)
	for _, e := range entries {
		left = append(left, e.Name)
	}
	for _, d := range r.loops(t) {
		left = append(left, d.String())
	}
	require.NoError(t, filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			left = append(left, path)
		}
		return err
	}))
	return left
}

// PoolFiles are the paths of the pool's metadata and data files.
func (r *Real) PoolFiles() (meta, data string) {
	base := filepath.Join(r.dir, "pool", filepath.Base(r.dir))
	return base + ".metadata", base + ".data"
}

type realVolume struct{ tree *filesystem.Tree }

// Mount mounts where nobody sees it.
func (r *Real) Mount(t testing.TB, m snapshots.Mount) Volume {
	t.Helper()
	tree, err := m.Open()
	require.NoError(t, err)
	return realVolume{tree}
}

// shutDown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN of fs/ext4/ext4.h and
// fs/xfs/libxfs/xfs_fs.h: nothing is written any more, after the log if its argument is 1.
const shutDown = 0x8004587d

// Crash stops all writes of a volume's filesystem, and unmounts what is left.
func (r *Real) Crash(t testing.TB, v Volume) {
	t.Helper()
	tree := v.(realVolume).tree
	require.NoError(t, unix.Syncfs(tree.FD()))
	require.NoError(t, ioctl.Do(uintptr(tree.FD()), shutDown, binary.NativeEndian.AppendUint32(nil, 1)))
	_ = tree.Close() // says EIO
}

// Hold opens a device.
func (r *Real) Hold(t testing.TB, m snapshots.Mount) (release func()) {
	t.Helper()
	f, err := os.OpenFile(m.Source, os.O_RDWR, 0)
	require.NoError(t, err)
	return func() { require.NoError(t, f.Close()) }
}

func (v realVolume) path(name string) string { return v.tree.Path() + "/" + name }

func (v realVolume) Put(name, content string) error {
	return os.WriteFile(v.path(name), []byte(content), 0o644)
}

func (v realVolume) Get(name string) (string, error) {
	b, err := os.ReadFile(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

func (v realVolume) Size() uint64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(v.tree.FD(), &st); err != nil {
		return 0
	}
	return st.Blocks * uint64(st.Bsize)
}

func (v realVolume) Unmount() error { return v.tree.Close() }
