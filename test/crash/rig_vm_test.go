package crash_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
)

// rig is the disks that a power cut is played on.
type rig struct {
	t   *testing.T
	dm  *devmapper.Client
	dir string // of the disks' files
	mnt string // where the filesystem under test is
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	dm, err := devmapper.Open()
	require.NoError(t, err)
	r := &rig{t: t, dm: dm, dir: t.TempDir()}
	r.mnt = filepath.Join(r.dir, "mnt")
	require.NoError(t, os.Mkdir(r.mnt, 0o700))
	t.Cleanup(func() { require.NoError(t, dm.Close()) })
	return r
}

// disk makes a sparse file of so many MiB and attaches it.
func (r *rig) disk(name string, mib int64) loopback.Device {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	require.NoError(r.t, loopback.CreateImage(path, mib<<20))
	d, err := loopback.Attach(r.t.Context(), path, loopback.Options{})
	require.NoError(r.t, err)
	return d
}

func (r *rig) detach(d loopback.Device) {
	r.t.Helper()
	require.NoError(r.t, d.Detach(r.t.Context()))
}

func devno(d loopback.Device) devmapper.DevNo {
	return devmapper.DevNo{Major: d.Major, Minor: d.Minor}
}

func (r *rig) activate(name string, size int64, target devmapper.Target) devmapper.Name {
	r.t.Helper()
	n, err := devmapper.NewName(name)
	require.NoError(r.t, err)
	_, err = r.dm.Activate(n, devmapper.UUID{}, devmapper.Single(devmapper.Sectors(size/512), target), devmapper.ReadWrite)
	require.NoError(r.t, err)
	return n
}

func (r *rig) remove(n devmapper.Name) {
	r.t.Helper()
	require.NoError(r.t, r.dm.Remove(devmapper.ByName(n)))
}

func (r *rig) mount(device string) {
	r.t.Helper()
	require.NoError(r.t, unix.Mount(device, r.mnt, "ext4", 0, ""))
}

func (r *rig) unmount() {
	r.t.Helper()
	require.NoError(r.t, unix.Unmount(r.mnt, 0))
}

func (r *rig) run(name string, args ...string) {
	r.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(r.t, err, "%s %v: %s", name, args, out)
}

// snapshotTarget is a throw-away copy of a disk, so that what a check writes never
// reaches the disk that the next cut goes on with.
func snapshotTarget(origin, cow loopback.Device) devmapper.Target {
	return devmapper.Raw{Kind: "snapshot", Text: devno(origin).String() + " " + devno(cow).String() + " N 8"}
}

// open opens a device for writing past nothing: who writes calls Sync.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(errors.New("open a disk of the rig"), err)
	}
	return f, nil
}

func commandOutput(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}
