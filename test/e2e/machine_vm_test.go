package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/test/lvmtest"
)

// Who is not root is told so, whatever the command.
func TestOnlyRootMay(t *testing.T) {
	p := newProgramWithPool(t)
	source := layoutOf(t, "app:1", on(t, scratchImage(t), small(t, file("a", "a"))))
	p.do(t, "image", "import", "oci:"+source)
	// The store is readable, so that nothing but the missing right stops the command.
	p.as = &syscall.Credential{Uid: 65534, Gid: 65534}
	defer func() { p.as = nil }()
	says := []string{"root", "sudo"}
	p.refusesEach(t, []refusal{
		{"create", []string{"pool", "create"}, exitFailure, says},
		{"status", []string{"pool", "status"}, exitFailure, says},
		{"destroy", []string{"pool", "destroy", p.pool(), "--yes"}, exitFailure, says},
		{"images", []string{"image", "ls"}, exitFailure, says},
		{"pull", []string{"image", "pull", "app:1"}, exitFailure, says},
		{"container", []string{"container", "create", "app:1"}, exitFailure, says},
		{"mount", []string{"container", "mount", "box", p.dir}, exitFailure, says},
		{"doctor", []string{"doctor", "--fix"}, exitFailure, says},
		{"info", []string{"info"}, exitFailure, says},
	})
	assert.Contains(t, p.do(t, "--help"), "Exit codes", "reading needs no right")
	assert.NotEmpty(t, p.do(t, "--version"))
}

// A kernel without thin pools, and one without loop devices, are named with the
// module that is missing. A store that exists waits for it, unharmed.
func TestAKernelThatLacksSomethingIsNamed(t *testing.T) {
	p := newProgram(t)
	if os.Getenv("VENEER_VM") == "native" {
		t.Skip("needs a kernel of its own: make test-vm with User-Mode Linux") // its modules are somebody else's
	}
	store := newProgramWithPool(t)
	store.do(t, "image", "import", "oci:"+layoutOf(t, "app:1", on(t, scratchImage(t), small(t, file("a", "a")))))
	store.do(t, "pool", "deactivate") // nothing uses the modules now
	empty := filepath.Join(store.root, "pool")
	for _, missing := range []struct {
		name, file string
		says       []string
	}{
		{"dm_thin_pool", "md/dm-thin-pool", []string{"thin-pool", "modprobe dm_thin_pool"}},
		{"loop", "block/loop", []string{"loop", "modprobe loop"}},
	} {
		t.Run(missing.name, func(t *testing.T) {
			before, err := filepath.Glob(empty + "/*")
			require.NoError(t, err)
			withoutModule(t, missing.name, missing.file, func() {
				p.refuses(t, refusal{"create", []string{"pool", "create", "--name", p.pool(), "--size", "1G"}, exitFailure, missing.says})
				for _, args := range [][]string{{"image", "ls"}, {"pool", "status"}, {"container", "create", "app:1"}} {
					store.refuses(t, refusal{"use", args, exitFailure, missing.says})
				}
				r := store.run(t, "doctor")
				assert.NotZero(t, r.code)
				for _, word := range missing.says {
					assert.Contains(t, r.stdout, word, "doctor lists what the machine lacks")
				}
			})
			after, err := filepath.Glob(empty + "/*")
			require.NoError(t, err)
			assert.Equal(t, before, after)
			assert.Equal(t, "app:1", store.do(t, "image", "ls", "-q"))
			store.do(t, "pool", "deactivate")
		})
	}
}

// What belongs to somebody else is neither used nor changed.
func TestWhatIsSomebodyElsesIsRefused(t *testing.T) {
	p := newProgram(t)
	device := func(name string, size int64, make ...string) string {
		image := filepath.Join(p.dir, name)
		require.NoError(t, loopback.CreateImage(image, size))
		d, err := loopback.Attach(t.Context(), image, loopback.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, d.Detach(t.Context())) })
		if len(make) > 0 {
			_, err := command.Run(t.Context(), make[0], append(make[1:], d.Path)...)
			require.NoError(t, err)
		}
		return d.Path
	}
	blank, small := device("blank", 128*mib), device("small", 16*mib)
	ext4 := device("ext4", 64*mib, "mkfs.ext4", "-q", "-F")
	xfs := device("xfs", 320*mib, "mkfs.xfs", "-q")
	text := filepath.Join(p.dir, "notes")
	require.NoError(t, os.WriteFile(text, []byte("somebody's notes"), 0o644))
	raw := device("raw", 16*mib)
	require.NoError(t, os.WriteFile(raw, []byte("somebody's data, of no known kind"), 0o600))
	taken := p.pool() + "-taken"
	p.takeName(t, taken)

	other := newProgram(t)
	data, meta := device("other-data", 128*mib), device("other-metadata", 16*mib)
	other.do(t, "pool", "create", "--name", other.pool(), "--backing", "devices", "--data", data, "--metadata", meta, "--base-size", "64M")
	other.do(t, "pool", "deactivate")
	t.Cleanup(func() { other.do(t, "pool", "destroy", other.pool(), "--yes") })

	sums := func() (all []string) {
		for _, path := range []string{blank, small, ext4, xfs, raw, text, data, meta} {
			sum, err := sumOf(path)
			require.NoError(t, err)
			all = append(all, path+" "+sum)
		}
		return all
	}
	before := sums()
	create := func(flags ...string) []string {
		return append([]string{"pool", "create", "--name", p.pool()}, flags...)
	}
	devices := func(data, meta string) []string {
		return create("--backing", "devices", "--data", data, "--metadata", meta)
	}
	p.refusesEach(t, []refusal{
		{"a name that is taken", []string{"pool", "create", "--name", taken, "--size", "1G"}, exitInUse, []string{taken, "another owner", "another name"}},
		{"a data file that is there", create("--size", "1G", "--data", text), exitInUse, []string{text, "not written over"}},
		{"a metadata file that is there", create("--size", "1G", "--metadata", text), exitInUse, []string{text, "not written over"}},
		{"metadata of another pool", devices(blank, meta), exitInUse, []string{meta, "another thin pool", "choose another device"}},
		{"metadata on ext4", devices(blank, ext4), exitInUse, []string{ext4, "an ext2, ext3 or ext4 filesystem"}},
		{"metadata on xfs", devices(blank, xfs), exitInUse, []string{xfs, "an xfs filesystem"}},
		{"metadata on unknown data", devices(blank, raw), exitInUse, []string{raw, "unknown kind"}},
		{"data on ext4", devices(ext4, small), exitInUse, []string{ext4, "an ext2, ext3 or ext4 filesystem"}},
		{"data on xfs", devices(xfs, small), exitInUse, []string{xfs, "an xfs filesystem"}},
		{"data on the metadata of a pool", devices(meta, small), exitInUse, []string{meta, "another thin pool"}},
		{"data on the data of a pool", devices(data, small), exitInUse, []string{data}},
		{"one device for both", devices(blank, blank), exitUsage, []string{blank}},
		{"a file as a device", devices(text, small), exitUsage, []string{text, "not a block device"}},
		{"a device that is not there", devices("/dev/nothing", small), exitNotFound, []string{"/dev/nothing"}},
		{"a metadata device that is too small", devices(blank, device("tiny", 1*mib)), exitUsage, []string{"1048576", "2097152"}},
	})
	assert.Equal(t, before, sums(), "not a byte of it was changed")
	other.do(t, "pool", "check")
	t.Run("a device of a live pool", func(t *testing.T) {
		p.refuses(t, refusal{"metadata", devices(blank, meta), exitInUse, []string{meta}})
		p.refuses(t, refusal{"data", devices(data, small), exitInUse, []string{data}})
		other.do(t, "pool", "check")
	})
	other.do(t, "pool", "destroy", other.pool(), "--yes")
	other.do(t, "pool", "create", "--name", other.pool(), "--backing", "devices", "--data", data, "--metadata", meta, "--base-size", "64M")
}

// A volume group and a thin pool of LVM's may be in the hands of another store.
func TestLogicalVolumesOfAnotherStoreAreRefused(t *testing.T) {
	p := newProgram(t)
	image := filepath.Join(p.dir, "pv")
	require.NoError(t, loopback.CreateImage(image, 512*mib))
	d, err := loopback.Attach(t.Context(), image, loopback.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Detach(t.Context())) })
	group := "vg-" + p.pool()
	lvm := func(args ...string) string {
		t.Helper()
		out, err := lvmtest.Run(context.WithoutCancel(t.Context()), args...)
		require.NoError(t, err)
		return out
	}
	lvm("vgcreate", group, d.Path)
	defer lvm("vgremove", "--yes", "--force", group)
	lvm("lvcreate", "--yes", "--type", "thin-pool", "--name", "existing", "--size", "96M", "--poolmetadatasize", "4M", group)

	volumes := []string{"pool", "create", "--name", "shared-" + p.pool(), "--backing", "lvm", "--volume-group", group, "--size", "64M", "--metadata-size", "4M", "--base-size", "32M"}
	existing := []string{"pool", "create", "--name", "claimed-" + p.pool(), "--backing", "lvm", "--existing-pool", group + "/existing", "--base-size", "32M"}
	image = layoutOf(t, "app:1", on(t, scratchImage(t), small(t, file("a", "a"))))
	var first []*program
	for _, create := range [][]string{volumes, existing} {
		owner := newProgram(t)
		owner.do(t, create...)
		owner.do(t, "image", "import", "oci:"+image)
		owner.do(t, "pool", "deactivate")
		first = append(first, owner)
	}
	before := lvm("lvs", "--noheadings", "--options", "lv_name,lv_size,lv_tags", group)
	p.refusesEach(t, []refusal{
		{"volumes of another store", volumes, exitInUse, []string{group + "/shared-", "not written over"}},
		{"a pool of another store", existing, exitInUse, []string{group + "/existing", "another store"}},
		{"a group that is not there", []string{"pool", "create", "--backing", "lvm", "--volume-group", "vg-none"}, exitFailure, []string{"vg-none"}},
	})
	assert.Equal(t, before, lvm("lvs", "--noheadings", "--options", "lv_name,lv_size,lv_tags", group))
	for i, name := range []string{"shared-" + p.pool(), "claimed-" + p.pool()} {
		assert.Equal(t, "app:1", first[i].do(t, "image", "ls", "-q"), "the other store is whole")
		first[i].do(t, "pool", "check")
		first[i].do(t, "pool", "destroy", name, "--yes")
	}
}

// takeName makes a device-mapper device of somebody else's until the test ends.
func (p *program) takeName(t *testing.T, name string) {
	t.Helper()
	dm, err := devmapper.Open()
	require.NoError(t, err)
	n, err := devmapper.NewName(name)
	require.NoError(t, err)
	_, err = dm.Create(n, devmapper.UUID{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, dm.Remove(devmapper.ByName(n)))
		assert.NoError(t, dm.Close())
	})
}
