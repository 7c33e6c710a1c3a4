package snapstest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
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

// The fake filesystem: block 0 says how large it is, and a file is in the block
// that its name hashes to.
const (
	fakeMagic = 0x56454e45
	fakeBlock = 64 << 10
)

type fakeHost Fake

func (f *fakeHost) open(device string) (*dmtest.Disk, error) {
	return f.Kernel.Open(strings.TrimPrefix(device, "/dev/mapper/"))
}

func (f *fakeHost) with(device string, use func(*dmtest.Disk) error) error {
	d, err := f.open(device)
	if err != nil {
		return err
	}
	return errors.Join(use(d), d.Close())
}

func (f *fakeHost) writeSize(device string) error {
	return f.with(device, func(d *dmtest.Disk) error {
		head := binary.LittleEndian.AppendUint64(nil, fakeMagic)
		_, err := d.WriteAt(binary.LittleEndian.AppendUint64(head, uint64(d.Size())), 0)
		return err
	})
}

func (f *fakeHost) Format(_ context.Context, o filesystem.Format) error { return f.writeSize(o.Device) }

func (f *fakeHost) Grow(_ context.Context, m snapshots.Mount) error { return f.writeSize(m.Source) }

func (f *fakeHost) Settle(_ context.Context, device string) (s filesystem.State, err error) {
	return s, f.with(device, func(*dmtest.Disk) error { return nil })
}

func (f *fakeHost) Replay(context.Context, snapshots.Mount) error { return nil }

func (f *fakeHost) Identify(device string) (sb filesystem.Superblock, err error) {
	err = f.with(device, func(d *dmtest.Disk) error {
		var head [16]byte
		if _, err := d.ReadAt(head[:], 0); err != nil {
			return err
		}
		if binary.LittleEndian.Uint64(head[:]) == fakeMagic {
			sb.Kind, sb.Size = "ext4", binary.LittleEndian.Uint64(head[8:])
		}
		return nil
	})
	return sb, err
}

func (f *fakeHost) Discard(_ context.Context, device string) error {
	return f.with(device, (*dmtest.Disk).Discard)
}

type fakeVolume struct {
	d    *dmtest.Disk
	size uint64
}

// Mount opens the device and checks that there is a filesystem that fits it.
func (f *Fake) Mount(t testing.TB, m snapshots.Mount) Volume {
	t.Helper()
	d, err := (*fakeHost)(f).open(m.Source)
	require.NoError(t, err)
	var head [16]byte
	_, err = d.ReadAt(head[:], 0)
	require.NoError(t, err)
	require.EqualValues(t, fakeMagic, binary.LittleEndian.Uint64(head[:]), "no filesystem on %s", m.Source)
	size := binary.LittleEndian.Uint64(head[8:])
	require.LessOrEqual(t, size, uint64(d.Size()), "filesystem larger than its device")
	return &fakeVolume{d, size}
}

func slot(name string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return (1 + int64(h.Sum32()%900)) * fakeBlock
}

func (v *fakeVolume) Put(name, content string) error {
	if len(content) > fakeBlock-8 {
		return fmt.Errorf("%d bytes do not fit", len(content))
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(content)))
	_, err := v.d.WriteAt(append(b, content...), slot(name))
	return err
}

func (v *fakeVolume) Get(name string) (string, error) {
	var n [8]byte
	if _, err := v.d.ReadAt(n[:], slot(name)); err != nil {
		return "", err
	}
	b := make([]byte, binary.LittleEndian.Uint64(n[:]))
	_, err := v.d.ReadAt(b, slot(name)+8)
	return string(b), err
}

func (v *fakeVolume) Size() uint64   { return v.size }
func (v *fakeVolume) Unmount() error { return v.d.Close() }
