package snapshots_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// badBlocks is a disk on which the superblock of one device cannot be read.
type badBlocks struct {
	snapshots.Host
	device string // how its name ends
}

func (h badBlocks) Identify(device string) (filesystem.Superblock, error) {
	if strings.HasSuffix(device, h.device) {
		return filesystem.Superblock{}, syscall.EIO
	}
	return h.Host.Identify(device)
}

// strangers is a store in whose pool are two thin devices that no record knows, 4711, which
// cannot be read, and 4712.
func strangers(t *testing.T) (*crashed, snapshots.Config) {
	t.Helper()
	c := newCrashed(t)
	idle := c.record("idle")
	c.message("create_snap 4711 " + idle.Thin.String())
	c.message("create_snap 4712 " + idle.Thin.String())
	config := c.m.Config()
	config.Host = badBlocks{config.Host, "-4711"}
	return c, config
}

// One thin device that cannot be read keeps no other from being adopted, and the doctor
// does not say that it did what it did not do.
func TestOneUnreadableThinDeviceDoesNotKeepOthersFromBeingAdopted(t *testing.T) {
	c, config := strangers(t)
	findings, err := snapshots.Examine(t.Context(), config, true)
	require.NoError(t, err)
	told := unreadable(t, findings)
	assert.Contains(t, told.Cure, syscall.EIO.Error())
	d := c.mustOpen()
	_, err = d.Stat(t.Context(), "recovered-4712")
	require.NoError(t, err)
	assert.True(t, c.holds(4711))
	info, err := d.Pool(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []dmthin.ThinID{4711}, info.Unknown)
}

// Nor does it keep a lost catalog from being made again.
func TestOneUnreadableThinDeviceDoesNotKeepTheCatalogFromBeingRebuilt(t *testing.T) {
	c, config := strangers(t)
	c.catalog(func(cat *metadata.Catalog) {
		_, err := cat.Remove(at(t, cat, "idle"))
		require.NoError(t, err)
	})
	for _, id := range []uint32{0, uint32(c.record("base").Thin), uint32(c.record("held").Thin)} {
		require.True(t, c.m.Kernel.LoseThin(fakeMetadata, id))
	}
	findings, err := snapshots.Examine(t.Context(), config, true)
	require.NoError(t, err)
	unreadable(t, findings)
	d := c.mustOpen()
	_, err = d.Stat(t.Context(), "recovered-4712")
	require.NoError(t, err)
	assert.True(t, c.holds(4711))
}

// unreadable gives the one finding about thin 4711, which is not done.
func unreadable(t *testing.T, findings []snapshots.Finding) (told snapshots.Finding) {
	t.Helper()
	n := 0
	for _, f := range findings {
		if strings.Contains(f.What, "4711") {
			told = f
			n++
		}
	}
	require.Equal(t, 1, n, "%v", findings)
	require.False(t, told.Done, "%v", told)
	return told
}

// boaster is a disk whose filesystems say that they are enormous, as a guest can write it.
type boaster struct {
	snapshots.Host
	size uint64
}

func (h boaster) Identify(device string) (filesystem.Superblock, error) {
	sb, err := h.Host.Identify(device)
	sb.Size = h.size
	return sb, err
}

// The size that a guest wrote into its superblock is not believed beyond reason: a device of
// that size could not be made, or would take hours to discard.
func TestAdoptionDoesNotBelieveAnImpossibleSize(t *testing.T) {
	ctx := t.Context()
	for size, want := range map[uint64]uint64{
		1<<64 - 1: 64 << 10, 1<<63 - 1: 64 << 10, 1 << 62: 64 << 10, 1<<50 + 1: 64 << 10,
		1 << 50: 1 << 50, 1<<30 + 1: 1<<30 + 64<<10,
	} {
		c := newCrashed(t)
		c.message("create_thin 4711")
		config := c.m.Config()
		config.Host = boaster{config.Host, size}
		_, err := snapshots.Examine(ctx, config, true)
		require.NoError(t, err)
		d, err := c.open()
		require.NoError(t, err)
		i, err := d.Stat(ctx, "recovered-4711")
		require.NoError(t, err)
		assert.Equal(t, want, i.Size, "%x", size)
		_, err = d.Mounts(ctx, "recovered-4711")
		require.NoError(t, err)
		require.NoError(t, d.Close())
	}
}
