package snapstest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// Fake is a machine in memory: a fake kernel, disks that are files only as far as
// the driver looks into them, and a filesystem of one table.
type Fake struct {
	Kernel *dmtest.Kernel
	dir    string
	dm     *devmapper.Client

	mu       sync.Mutex
	attached map[string]bool
}

var (
	fakeMeta = devmapper.DevNo{Major: 7, Minor: 1}
	fakeData = devmapper.DevNo{Major: 7, Minor: 0}
)

// NewFake makes a machine with a folder of its own.
func NewFake(t testing.TB) *Fake {
	t.Helper()
	return NewFakeAt(t.TempDir())
}

// NewFakeAt makes a machine that keeps its store in a folder of the caller's.
func NewFakeAt(dir string) *Fake {
	f := &Fake{Kernel: dmtest.New(), dir: dir, attached: map[string]bool{}}
	f.dm = devmapper.New(f.Kernel)
	f.Kernel.OnReserve(func(_ devmapper.DevNo, s dmtest.PoolState) (uint64, error) {
		return uint64(dmthintest.HeldRoot), f.writeMetadata(s)
	})
	return f
}

// writeMetadata puts a pool's state where the driver will read it, in the kernel's
// own format.
func (f *Fake) writeMetadata(s dmtest.PoolState) error {
	p := dmthintest.Pool{Transaction: s.Transaction, Time: s.Time, DataBlockSize: uint32(s.BlockSize), Devices: map[dmthin.ThinID]dmthintest.Device{}}
	for id, th := range s.Thins {
		d := dmthintest.Device{Transaction: th.Transaction, Created: th.Created, Snapshotted: th.Snapshotted, Mappings: map[uint64]dmthintest.Mapping{}}
		for v, m := range th.Mappings {
			d.Mappings[v] = dmthintest.Mapping{Data: m.Block, Time: m.Time}
		}
		p.Devices[dmthin.ThinID(id)] = d
	}
	file, err := os.OpenFile(f.path("metadata"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(dmthintest.Bytes(p), 0)
	return errors.Join(err, file.Close())
}

func (f *Fake) path(name string) string { return filepath.Join(f.dir, name) }

// Config is the same at every call, so that a store can be opened again.
func (f *Fake) Config() snapshots.Config {
	return snapshots.Config{Root: f.dir, DM: f.dm, Disks: (*fakeDisks)(f), Host: (*fakeHost)(f)}
}

// Options are for a small pool.
func (f *Fake) Options() snapshots.PoolOptions {
	return snapshots.PoolOptions{
		Name: "fake", Data: f.path("data"), Metadata: f.path("metadata"),
		DataSize: 256 << 20, MetadataSize: 8 << 20, BaseSize: 64 << 20,
	}
}

// Reboot takes all devices away.
func (f *Fake) Reboot(testing.TB) {
	f.Kernel.Reboot()
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.attached)
}

// CheckPool asks that nothing is mapped but the template's one block.
func (f *Fake) CheckPool(t testing.TB) {
	t.Helper()
	s, ok := f.Kernel.Pool(fakeMeta)
	require.True(t, ok)
	require.Len(t, s.Thins, 1, "thin devices beside the template's")
}

// LeftOver names devices, attached disks and disk files.
func (f *Fake) LeftOver(testing.TB) []string {
	left := f.Kernel.Devices()
	f.mu.Lock()
	for name := range f.attached {
		left = append(left, "attached "+name)
	}
	f.mu.Unlock()
	for _, name := range []string{"data", "metadata"} {
		if _, err := os.Stat(f.path(name)); err == nil {
			left = append(left, f.path(name))
		}
	}
	slices.Sort(left)
	return left
}

// fakeDisks are two files for the driver to look into; what is written to the pool
// is in the fake kernel.
type fakeDisks Fake

func (f *fakeDisks) Create(_ context.Context, p metadata.Pool, data, meta uint64) error {
	for path, size := range map[string]uint64{p.Data: data, p.Metadata: meta} {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Truncate(int64(size)), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeDisks) Attach(_ context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, disk := range map[string]*thinpool.Disk{p.Data: &data, p.Metadata: &meta} {
		st, err := os.Stat(path)
		if err != nil {
			return data, meta, err
		}
		*disk = thinpool.Disk{Path: path, Dev: fakeData, Size: devmapper.Sectors(st.Size() / devmapper.SectorSize)}
		if path == p.Metadata {
			disk.Dev = fakeMeta
		}
		f.attached[path] = true
		f.Kernel.AddDisk(disk.Dev, disk.Size)
	}
	// A pool that was active has written its superblock.
	if s, ok := f.Kernel.Pool(fakeMeta); ok {
		err = (*Fake)(f).writeMetadata(s)
	}
	return data, meta, err
}

func (f *fakeDisks) Vacant(_ context.Context, p metadata.Pool) error {
	for _, path := range []string{p.Data, p.Metadata} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%w: %s", snapshots.ErrExists, path)
		}
	}
	return nil
}

func (f *fakeDisks) Grow(_ context.Context, p metadata.Pool, data, meta uint64) error {
	for path, size := range map[string]uint64{p.Data: data, p.Metadata: meta} {
		if st, err := os.Stat(path); err != nil || int64(size) <= st.Size() {
			if err != nil {
				return err
			}
			continue
		}
		if err := os.Truncate(path, int64(size)); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeDisks) Detach(_ context.Context, p metadata.Pool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.attached, p.Data)
	delete(f.attached, p.Metadata)
	return nil
}

func (f *fakeDisks) Delete(_ context.Context, p metadata.Pool) error {
	f.Kernel.WipeDisk(fakeMeta)
	for _, path := range []string{p.Data, p.Metadata} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
