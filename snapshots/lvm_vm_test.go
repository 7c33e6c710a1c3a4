package snapshots_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/thinpool"
)

// volumeGroup is one of LVM's, on a file of its own.
type volumeGroup struct {
	t    *testing.T
	name string
}

func newVolumeGroup(t *testing.T, m *snapstest.Real) *volumeGroup {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, loopback.CreateImage(file, 4<<30))
	dev, err := loopback.Attach(t.Context(), file, loopback.Options{DirectIO: true})
	require.NoError(t, err)
	g := &volumeGroup{t: t, name: "veneer-" + filepath.Base(m.Config().Root)}
	g.lvm("pvcreate", "--yes", dev.Path)
	g.lvm("vgcreate", g.name, dev.Path)
	t.Cleanup(func() {
		g.lvm("vgremove", "--yes", "--force", g.name)
		assert.NoError(t, dev.Detach(t.Context()))
		assert.NoError(t, os.Remove(file))
	})
	return g
}

func (g *volumeGroup) try(args ...string) (string, error) {
	if _, err := os.Stat("/run/udev/control"); err != nil {
		args = append(args, "--config", "activation{udev_sync=0 udev_rules=0 monitoring=0} devices{obtain_device_list_from_udev=0}")
	}
	out, err := exec.Command("lvm", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (g *volumeGroup) lvm(args ...string) string {
	g.t.Helper()
	out, err := g.try(args...)
	require.NoError(g.t, err, "lvm %v: %s", args, out)
	return out
}

// volumes lists the logical volumes, with what thin volumes are in.
func (g *volumeGroup) volumes() string {
	return g.lvm("lvs", "--noheadings", "--options", "lv_name", g.name)
}

// useAndReopen makes a layer, goes through a shutdown, and expects it to be there.
func useAndReopen(t *testing.T, m *snapstest.Real, d *snapshots.Driver) *snapshots.Driver {
	t.Helper()
	layerOf(t, m, d, "layer", "", "file", "on logical volumes")
	require.NoError(t, d.Deactivate(t.Context()))
	d, err := snapshots.Open(t.Context(), m.Config())
	require.NoError(t, err)
	mount, err := d.View(t.Context(), "look", "layer")
	require.NoError(t, err)
	v := m.Mount(t, mount)
	content, err := v.Get("file")
	require.NoError(t, err)
	assert.Equal(t, "on logical volumes", content)
	require.NoError(t, v.Unmount())
	require.NoError(t, d.Remove(t.Context(), "look"))
	return d
}

// Two logical volumes are made, grown and removed with lvm2's commands, and nothing
// else in the group is touched.
func TestPoolInAVolumeGroup(t *testing.T) {
	requireVM(t)
	m := snapstest.NewReal(t, "ext4")
	g := newVolumeGroup(t, m)
	g.lvm("lvcreate", "--yes", "--name", "theirs", "--size", "8M", g.name)
	o := m.Options()
	o.Backing, o.VolumeGroup, o.DataSize = metadata.BackingLVM, g.name, 1<<30
	d, err := snapshots.CreatePool(t.Context(), m.Config(), o)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"theirs", o.Name + "_data", o.Name + "_metadata"}, strings.Fields(g.volumes()))
	d = useAndReopen(t, m, d)
	require.NoError(t, d.GrowPool(t.Context(), 2<<30, 64<<20))
	info, err := d.Pool(t.Context())
	require.NoError(t, err)
	w, ok := info.Status.(thinpool.Working)
	require.True(t, ok, "%v", info.Status)
	assert.EqualValues(t, 2<<30/info.BlockSize, w.TotalData)
	require.NoError(t, d.DestroyPool(t.Context()))
	assert.Equal(t, "theirs", g.volumes())
	assert.Empty(t, m.LeftOver(t))
}

// An LVM thin pool that is there is used as it is. LVM keeps out of it as long as it
// is ours, and gets it back as it was.
func TestPoolOfLVMs(t *testing.T) {
	requireVM(t)
	m := snapstest.NewReal(t, "ext4")
	g := newVolumeGroup(t, m)
	g.lvm("lvcreate", "--yes", "--type", "thin-pool", "--name", "tp", "--size", "1G", "--poolmetadatasize", "16M", "--chunksize", "128k", g.name)
	o := m.Options()
	o.Backing, o.ExistingPool = metadata.BackingLVM, g.name+"/tp"
	o.DataSize, o.MetadataSize = 0, 0
	d, err := snapshots.CreatePool(t.Context(), m.Config(), o)
	require.NoError(t, err)
	info, err := d.Pool(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 128<<10, info.BlockSize, "the pool's, not our default")

	layerOf(t, m, d, "before", "", "file", "x")
	out, err := g.try("lvcreate", "--yes", "--type", "thin", "--name", "intruder", "--virtualsize", "64M", "--thinpool", "tp", g.name)
	require.Error(t, err, "LVM would use thin ids of ours: %s", out)
	assert.NotContains(t, g.volumes(), "intruder")

	other := snapstest.NewReal(t, "ext4")
	theirs := other.Options()
	theirs.Backing, theirs.ExistingPool = o.Backing, o.ExistingPool
	_, err = snapshots.CreatePool(t.Context(), other.Config(), theirs)
	require.ErrorContains(t, err, "another store")

	d = useAndReopen(t, m, d)
	require.NoError(t, d.GrowPool(t.Context(), 2<<30, 0))
	require.NoError(t, d.DestroyPool(t.Context()))
	assert.Empty(t, m.LeftOver(t))
	assert.Contains(t, g.volumes(), "tp")
	g.lvm("lvcreate", "--yes", "--type", "thin", "--name", "welcome", "--virtualsize", "64M", "--thinpool", "tp", g.name)

	_, err = snapshots.CreatePool(t.Context(), m.Config(), o)
	require.ErrorContains(t, err, "thin volumes of LVM", "a pool with thin volumes of LVM's own is not taken")
	assert.Contains(t, g.volumes(), "welcome")
	assert.Empty(t, m.LeftOver(t))
}
