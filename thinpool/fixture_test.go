package thinpool_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
	"github.com/veneerdm/veneer/thinpool"
)

const mib = 1 << 20

// fixture is a pool on a fake kernel. Disks are files, so that what Create and
// ReadMetadata read is there.
type fixture struct {
	kernel *dmtest.Kernel
	dm     *devmapper.Client
	spec   thinpool.Spec
}

func newFixture(t testing.TB, data uint64) *fixture {
	f := &fixture{kernel: dmtest.New()}
	f.dm = devmapper.New(f.kernel)
	disk := func(name string, minor uint32, size uint64) thinpool.Disk {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, int64(size)))
		d := thinpool.Disk{Path: path, Dev: devmapper.DevNo{Major: 7, Minor: minor}, Size: devmapper.Sectors(size / 512)}
		f.kernel.AddDisk(d.Dev, d.Size)
		return d
	}
	f.spec = thinpool.Spec{Name: "test", BlockSize: 128, Metadata: disk("meta", 1, 4*mib), Data: disk("data", 0, data)}
	f.kernel.OnReserve(func(_ devmapper.DevNo, s dmtest.PoolState) (uint64, error) {
		return uint64(dmthintest.HeldRoot), os.WriteFile(f.spec.Metadata.Path, metadataOf(s), 0o600)
	})
	return f
}

func metadataOf(s dmtest.PoolState) []byte {
	p := dmthintest.Pool{Transaction: s.Transaction, Time: s.Time, DataBlockSize: uint32(s.BlockSize), Devices: map[dmthin.ThinID]dmthintest.Device{}}
	for id, th := range s.Thins {
		d := dmthintest.Device{Transaction: th.Transaction, Created: th.Created, Snapshotted: th.Snapshotted, Mappings: map[uint64]dmthintest.Mapping{}}
		for v, m := range th.Mappings {
			d.Mappings[v] = dmthintest.Mapping{Data: m.Block, Time: m.Time}
		}
		p.Devices[dmthin.ThinID(id)] = d
	}
	return dmthintest.Bytes(p)
}

func (f *fixture) create(t testing.TB) *thinpool.Pool {
	p, err := thinpool.Create(t.Context(), f.dm, f.spec)
	require.NoError(t, err)
	// The kernel would have written its superblock.
	s, ok := f.kernel.Pool(f.spec.Metadata.Dev)
	require.True(t, ok)
	require.NoError(t, os.WriteFile(f.spec.Metadata.Path, metadataOf(s), 0o600))
	return p
}

// after is a transport that calls f when the i-th operation, from 0, has been answered.
type after struct {
	*dmtest.Kernel
	count atomic.Int32
	i     int32
	f     func()
}

func (a *after) Control(command uint8, buf []byte) error {
	err := a.Kernel.Control(command, buf)
	if a.count.Add(1)-1 == a.i {
		a.f()
	}
	return err
}

// interrupted gives the pool through a transport that calls f after an operation, which is
// yet to be chosen.
func (f *fixture) interrupted(t testing.TB, p *thinpool.Pool, do func()) (*after, *thinpool.Pool) {
	t.Helper()
	a := &after{Kernel: f.kernel, i: -1, f: do}
	again, err := thinpool.Adopt(devmapper.New(a), p.Name(), p.Dev(), f.spec.Metadata.Path)
	require.NoError(t, err)
	return a, again
}

func ref(t testing.TB, name string) devmapper.Ref {
	t.Helper()
	n, err := devmapper.NewName(name)
	require.NoError(t, err)
	return devmapper.ByName(n)
}

func (f *fixture) info(t testing.TB, name string) devmapper.Info {
	t.Helper()
	info, err := f.dm.Info(ref(t, name))
	require.NoError(t, err)
	return info
}

// hold opens a device, which keeps it busy until the function returned is called.
func (f *fixture) hold(t testing.TB, name string) (release func()) {
	t.Helper()
	d, err := f.kernel.Open(name)
	require.NoError(t, err)
	return func() { require.NoError(t, d.Close()) }
}

func (f *fixture) stage(t testing.TB, name string, table devmapper.Table) {
	t.Helper()
	require.NoError(t, f.dm.Load(ref(t, name), table, devmapper.ReadWrite))
}

func (f *fixture) activate(t testing.TB, p *thinpool.Pool, id dmthin.ThinID) *thinpool.Live {
	t.Helper()
	live, err := p.ActivateThin(id, 8*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	return live
}

func (f *fixture) thin(id uint32, size uint64) devmapper.Table {
	pool := devmapper.DevNo{Major: 253} // the first device made
	return devmapper.Single(devmapper.Sectors(size/512), devmapper.Thin{Pool: pool, ID: id})
}

// length is the size of a device in bytes, by its table.
func (f *fixture) length(t testing.TB, name string) uint64 {
	t.Helper()
	table, err := f.dm.Table(ref(t, name))
	require.NoError(t, err)
	return table.Length().Bytes()
}
