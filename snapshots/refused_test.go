package snapshots_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

func (c *crashed) holds(id dmthin.ThinID) bool {
	c.t.Helper()
	p, ok := c.m.Kernel.Pool(fakeMetadata)
	require.True(c.t, ok)
	_, there := p.Thins[uint32(id)]
	return there
}

func (c *crashed) thinOf(d *snapshots.Driver, key string) dmthin.ThinID {
	c.t.Helper()
	i, err := d.Stat(c.t.Context(), key)
	require.NoError(c.t, err)
	return i.ThinID
}

// A record that a start cannot write, as when the catalog's disk is full, keeps it from
// serving nothing, and is written by a later one.
func TestAStartServesTheRestWhenARecordCannotBeWritten(t *testing.T) {
	ctx := t.Context()
	for _, r := range lifecycle.Rows() {
		if r.Device != lifecycle.NoDevice || r.Older || len(r.Actions) != 1 || !r.Actions[0].AtStart() {
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			f, id := storeWith(t, r.Observed)
			var full atomic.Bool
			full.Store(true)
			config := f.m.Config()
			config.OpenCatalog = hooked(func(string) error {
				if full.Load() {
					return syscall.ENOSPC
				}
				return nil
			})
			d, err := snapshots.Open(ctx, config)
			require.NoError(t, err)
			keys := map[string]string{"base": "base", "idle": "idle", "held": "held"}
			f.d = d
			for key := range keys {
				_, err := d.Stat(ctx, key)
				require.NoError(t, err)
			}
			full.Store(false)
			require.NoError(t, d.Drain(ctx))
			require.NoError(t, d.Close())
			require.Empty(t, f.cured(f.config(), r, id))
		})
	}
}

// A commit whose record cannot be written leaves the snapshot active, with its device.
func TestAFailedCommitLeavesTheDevice(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	c := m.Config()
	c.OpenCatalog = hooked(func(change string) error {
		if change == "commit" {
			return syscall.ENOSPC
		}
		return nil
	})
	d, err := snapshots.CreatePool(ctx, c, m.Options())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.DestroyPool(context.Background())) })
	_, err = d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	before := m.Kernel.Devices()
	require.ErrorIs(t, d.Commit(ctx, "layer", "work"), syscall.ENOSPC)
	assert.ElementsMatch(t, before, m.Kernel.Devices())
}

// The device of a removed view that the kernel does not remove at once is tried again.
func TestTheEndOfAViewIsNotForgotten(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	d := c.mustOpen()
	name := "fake-thin-" + c.thinOf(d, "base").String()
	require.Contains(t, c.m.Kernel.Devices(), name)
	c.m.Kernel.Inject(func(call dmtest.Call) error {
		if call.Device == name && call.Mutates {
			return syscall.ENOMEM
		}
		return nil
	})
	require.NoError(t, d.Remove(ctx, "view"))
	require.NoError(t, d.Drain(ctx))
	require.Contains(t, c.m.Kernel.Devices(), name)
	c.m.Kernel.Inject(nil)
	require.NoError(t, d.Drain(ctx))
	assert.NotContains(t, c.m.Kernel.Devices(), name)
}

// A view of a template that the pool has lost: the doctor, which the error names, tells it.
func TestTheDoctorTellsOfTheViewOfALostTemplate(t *testing.T) {
	ctx := t.Context()
	f, _ := storeWith(t, lifecycle.Observed{State: lifecycle.Template, Device: lifecycle.NoDevice, Viewed: true})
	f.open(step(0))
	_, err := f.d.Mounts(ctx, "seen")
	require.ErrorIs(t, err, snapshots.ErrLost)
	require.NoError(t, f.d.Close())
	findings, err := snapshots.Examine(ctx, f.m.Config(), false)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	assert.Contains(t, findings[0].What, `the view "seen" is lost`)
	f.open(step(0))
	require.NoError(t, f.d.Remove(ctx, "seen"))
	require.NoError(t, f.d.Close())
	findings, err = snapshots.Examine(ctx, f.m.Config(), false)
	require.NoError(t, err)
	require.Empty(t, findings)
}

// Of two views of one layer, which show one device, neither is called held because the
// other one may be; a single one is.
func TestHoldersOfViews(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	d := c.mustOpen()
	holders := func(key string) int {
		n, err := d.Holders(ctx, key)
		require.NoError(t, err)
		return n
	}
	m, err := d.View(ctx, "second", "base")
	require.NoError(t, err)
	v := c.m.Mount(t, m)
	assert.Zero(t, holders("view"))
	require.NoError(t, d.Remove(ctx, "view"))
	assert.Equal(t, 1, holders("second"))
	require.NoError(t, v.Unmount())
	assert.Zero(t, holders("second"))
}
