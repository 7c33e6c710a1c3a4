package thinpool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

func Example() {
	kernel := dmtest.New() // a real one: dm, err := devmapper.Open()
	meta, data := devmapper.DevNo{Major: 7, Minor: 1}, devmapper.DevNo{Major: 7, Minor: 0}
	kernel.AddDisk(meta, 8192)
	kernel.AddDisk(data, 204800)
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	blank := filepath.Join(dir, "blank")
	if err := os.WriteFile(blank, make([]byte, 1<<20), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	pool, err := thinpool.Create(context.Background(), devmapper.New(kernel), thinpool.Spec{
		Name: "web", BlockSize: 128,
		Metadata: thinpool.Disk{Path: blank, Dev: meta, Size: 8192},
		Data:     thinpool.Disk{Path: blank, Dev: data, Size: 204800},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pool.CreateThin(1), pool.CreateSnapshot(2, 1))
	thin, err := pool.ActivateThin(2, 1<<30, devmapper.ReadWrite)
	fmt.Println(thin.Path(), err)
	// Output:
	// <nil> <nil>
	// /dev/mapper/web-thin-2 <nil>
}

func TestCreateRefusesWhatIsNotBlank(t *testing.T) {
	for what, write := range map[string]struct {
		at    int64
		bytes string
	}{
		"an xfs filesystem":                {0, "XFSB"},
		"an ext2, ext3 or ext4 filesystem": {1080, "\x53\xef"},
		"a btrfs filesystem":               {65600, "_BHRfS_M"},
		"an LVM physical volume":           {512, "LABELONE"},
		"data of an unknown kind":          {100, "hello"},
	} {
		for _, metadata := range []bool{true, false} {
			f := newFixture(t, 64*mib)
			d := f.spec.Data
			if metadata {
				d = f.spec.Metadata
			}
			file, err := os.OpenFile(d.Path, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteAt([]byte(write.bytes), write.at)
			require.NoError(t, errors.Join(err, file.Close()))
			_, err = thinpool.Create(t.Context(), f.dm, f.spec)
			var foreign *thinpool.ForeignError
			require.ErrorAs(t, err, &foreign)
			assert.Equal(t, what, foreign.Holds)
			assert.ErrorIs(t, err, thinpool.ErrForeign)
			assert.Empty(t, f.kernel.Devices())
		}
	}
}

func TestCreateRefusesAnotherPoolAndOpenWantsOne(t *testing.T) {
	f := newFixture(t, 64*mib)
	_, err := thinpool.Open(t.Context(), f.dm, f.spec)
	assert.ErrorIs(t, err, thinpool.ErrForeign)
	assert.ErrorContains(t, err, "is empty")
	p := f.create(t)
	require.NoError(t, p.CreateThin(5))
	require.NoError(t, p.Deactivate(t.Context()))
	_, err = thinpool.Create(t.Context(), f.dm, f.spec)
	assert.ErrorContains(t, err, "metadata of another thin pool")

	p, err = thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err)
	assert.ErrorIs(t, p.CreateThin(5), devmapper.ErrExist, "what was in the pool is still there")
	again, err := thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err, "a live pool is taken over")
	assert.Equal(t, p.Dev(), again.Dev())
}

func TestNameTakenBySomebodyElse(t *testing.T) {
	f := newFixture(t, 64*mib)
	name, err := devmapper.NewName("test")
	require.NoError(t, err)
	_, err = f.dm.Activate(name, devmapper.UUID{}, devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	require.NoError(t, err)
	_, err = thinpool.Create(t.Context(), f.dm, f.spec)
	assert.ErrorIs(t, err, thinpool.ErrForeign)
	assert.Equal(t, []string{"test"}, f.kernel.Devices(), "the stranger's device is untouched")
}

func TestSnapshotOfAnActiveOriginSuspendsIt(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	_, err := p.ActivateThin(1, 8*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	var ops []string
	f.kernel.Inject(func(c dmtest.Call) error {
		if c.Mutates {
			ops = append(ops, c.Op+" "+c.Detail)
		}
		return nil
	})
	require.NoError(t, p.CreateSnapshot(2, 1))
	assert.Equal(t, []string{"suspend or resume ", "message create_snap 2 1", "suspend or resume resume"}, ops)

	// Whatever happens in between, the origin runs again.
	f.kernel.Inject(func(c dmtest.Call) error {
		if c.Op == "message" {
			return syscall.EIO
		}
		return nil
	})
	assert.ErrorIs(t, p.CreateSnapshot(3, 1), syscall.EIO)
	f.kernel.Inject(nil)
	live, err := p.Lookup(1)
	require.NoError(t, err)
	assert.False(t, live.Suspended)

	// "Nobody knows whether it is active" is not "it is not active".
	f.kernel.Inject(func(c dmtest.Call) error {
		if c.Op == "info" {
			return syscall.ENOMEM
		}
		return nil
	})
	assert.ErrorIs(t, p.CreateSnapshot(4, 1), syscall.ENOMEM)
	f.kernel.Inject(nil)
	assert.ErrorIs(t, p.Delete(4), devmapper.ErrNotExist)
}

func TestSwallowedCommitIsAnError(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	f.kernel.LoseCommit(f.spec.Metadata.Dev)
	err := p.CreateSnapshot(2, 1)
	assert.ErrorIs(t, err, thinpool.ErrLost)
	assert.ErrorIs(t, p.CreateThin(3), devmapper.ErrReadOnly)
	f.kernel.Repair(f.spec.Metadata.Dev)
	assert.ErrorIs(t, p.Delete(2), devmapper.ErrNotExist, "the snapshot is gone although the kernel said yes")
	require.NoError(t, p.Delete(1))
}

func TestContentIsSharedAndCopied(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	write(t, f, p, 1, 0, "origin")
	require.NoError(t, p.CreateSnapshot(2, 1))
	write(t, f, p, 2, 0, "second")
	write(t, f, p, 2, mib, "more")
	assert.Equal(t, "origin", read(t, f, p, 1, 0, 6))
	assert.Equal(t, "second", read(t, f, p, 2, 0, 6))
	require.NoError(t, p.ReadMetadata(t.Context(), func(m *dmthin.Metadata) error {
		usage, err := m.Usage(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []dmthin.Usage{{ID: 1, Mapped: 1, Exclusive: 1}, {ID: 2, Mapped: 2, Exclusive: 2}}, usage)
		return nil
	}))
	w, err := p.Working()
	require.NoError(t, err)
	assert.Zero(t, w.HeldRoot, "the metadata snapshot is released")
	assert.EqualValues(t, 3, w.UsedData)
}

func write(t *testing.T, f *fixture, p *thinpool.Pool, id dmthin.ThinID, off int64, s string) {
	t.Helper()
	withDisk(t, f, p, id, func(d *dmtest.Disk) {
		_, err := d.WriteAt([]byte(s), off)
		require.NoError(t, err)
	})
}

func read(t *testing.T, f *fixture, p *thinpool.Pool, id dmthin.ThinID, off int64, n int) string {
	t.Helper()
	b := make([]byte, n)
	withDisk(t, f, p, id, func(d *dmtest.Disk) {
		_, err := d.ReadAt(b, off)
		require.NoError(t, err)
	})
	return string(bytes.TrimRight(b, "\x00"))
}

func withDisk(t *testing.T, f *fixture, p *thinpool.Pool, id dmthin.ThinID, use func(*dmtest.Disk)) {
	t.Helper()
	live, err := p.ActivateThin(id, 8*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	d, err := f.kernel.Open(live.Name.String())
	require.NoError(t, err)
	use(d)
	require.NoError(t, d.Close())
	require.NoError(t, p.DeactivateThin(id))
}

func TestFullPoolStillDeletesAndGrows(t *testing.T) {
	f := newFixture(t, 2*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	live, err := p.ActivateThin(1, 64*mib, devmapper.ReadWrite)
	require.NoError(t, err)
	d, err := f.kernel.Open(live.Name.String())
	require.NoError(t, err)
	_, err = d.WriteAt(make([]byte, 4*mib), 0)
	assert.ErrorIs(t, err, syscall.ENOSPC)
	w, err := p.Working()
	require.NoError(t, err)
	assert.Equal(t, thinpool.ModeNoSpace, w.Mode)
	require.NoError(t, p.CreateThin(2), "messages work while the pool is full")

	f.spec.Data.Size *= 4
	f.kernel.AddDisk(f.spec.Data.Dev, f.spec.Data.Size)
	require.NoError(t, p.Grow(f.spec))
	_, err = d.WriteAt(make([]byte, 4*mib), 0)
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func TestStatusLines(t *testing.T) {
	s, err := thinpool.ParseStatus("0 4138/16384 12/65536 - rw discard_passdown queue_if_no_space - 1024 ")
	require.NoError(t, err)
	assert.Equal(t, thinpool.Working{UsedMeta: 4138, TotalMeta: 16384, UsedData: 12, TotalData: 65536, Mode: "rw", Discard: "discard_passdown", MetaLowWater: 1024}, s)
	s, err = thinpool.ParseStatus("7 1/2 3/4 55 out_of_data_space ignore_discard error_if_no_space needs_check 1024")
	require.NoError(t, err)
	assert.Equal(t, thinpool.Working{Transaction: 7, UsedMeta: 1, TotalMeta: 2, UsedData: 3, TotalData: 4, HeldRoot: 55, Mode: "out_of_data_space", Discard: "ignore_discard", ErrorWhenFull: true, NeedsCheck: true, MetaLowWater: 1024}, s)
	s, err = thinpool.ParseStatus("0 1/2 3/4 - no_discard_passdown ro")
	require.NoError(t, err, "as kernels before 3.15 print it")
	assert.Equal(t, thinpool.ModeReadOnly, s.(thinpool.Working).Mode)
	s, err = thinpool.ParseStatus("Fail")
	require.NoError(t, err)
	assert.Equal(t, thinpool.Failed{Word: "Fail"}, s)
	for _, bad := range []string{"", "x", "0 1/2", "0 1 2 - rw", "a 1/2 3/4 - rw", "0 1/2 3/4 - soon"} {
		_, err := thinpool.ParseStatus(bad)
		assert.Error(t, err, bad)
	}
}

func FuzzStatus(f *testing.F) {
	f.Add("0 4138/16384 12/65536 - rw discard_passdown queue_if_no_space - 1024 ")
	f.Add("Fail")
	f.Fuzz(func(t *testing.T, line string) {
		if s, err := thinpool.ParseStatus(line); err == nil {
			require.NotNil(t, s)
		}
		_, _ = thinpool.ParseThinStatus(line)
	})
}

func TestSpecLimits(t *testing.T) {
	good := newFixture(t, 64*mib).spec
	require.NoError(t, good.Validate())
	for name, change := range map[string]func(*thinpool.Spec){
		"block size 32 KiB":  func(s *thinpool.Spec) { s.BlockSize = 64 },
		"block size 96 KiB":  func(s *thinpool.Spec) { s.BlockSize = 192 },
		"block size 2 GiB":   func(s *thinpool.Spec) { s.BlockSize = 4194304 },
		"name with a slash":  func(s *thinpool.Spec) { s.Name = "a/b" },
		"long name":          func(s *thinpool.Spec) { s.Name = string(bytes.Repeat([]byte("n"), 101)) },
		"one device twice":   func(s *thinpool.Spec) { s.Metadata.Dev = s.Data.Dev },
		"tiny metadata":      func(s *thinpool.Spec) { s.Metadata.Size = 64 },
		"tiny data":          func(s *thinpool.Spec) { s.Data.Size = 64 },
		"no metadata device": func(s *thinpool.Spec) { s.Metadata.Dev = devmapper.DevNo{} },
	} {
		s := good
		change(&s)
		assert.ErrorIs(t, s.Validate(), devmapper.ErrInvalid, name)
	}
	assert.EqualValues(t, 4096*(1+1301+1000), thinpool.MetadataSize(10<<30, 128, 1000))
	assert.EqualValues(t, thinpool.MinMetadata, thinpool.MetadataSize(mib, 128, 1))
	assert.EqualValues(t, thinpool.MaxMetadata, thinpool.MetadataSize(1<<50, 128, 1))
}
