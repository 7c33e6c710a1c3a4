package snapshots_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/thinpool"
)

// makers are the verbs that make a thin device, and that must not where that would harm
// the pool.
var makers = map[string]func(context.Context, *snapshots.Driver) error{
	"prepare": func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.Prepare(ctx, "new", "base")
		return err
	},
	"clone": func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.Clone(ctx, "new", "idle")
		return err
	},
	"roll back": func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.Rollback(ctx, "idle", "")
		return err
	},
	"commit held": func(ctx context.Context, d *snapshots.Driver) error { return d.Commit(ctx, "new", "held") },
}

// A mapping has 24 bits for the snapshot time, and the kernel goes on counting: the driver
// stops in time, at each verb, and everything else goes on.
func TestSnapshotTimeNearItsEnd(t *testing.T) {
	const last = dmthin.MaxTime - 1<<16 // at which something is still made
	for name, verb := range makers {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			f := newFaulty(t)
			again := func(time uint32) {
				require.NoError(t, f.d.Close())
				require.True(t, f.m.Kernel.SetTime(fakeMetadata, time))
				f.open(step(0))
			}
			again(last + 1)
			require.ErrorIs(t, verb(ctx, f.d), snapshots.ErrPoolState)
			require.ErrorContains(t, verb(ctx, f.d), "2^24")
			require.NoError(t, f.d.Remove(ctx, "view"), "removing goes on")
			_, err := f.d.View(ctx, "view", "base")
			require.NoError(t, err, "a view makes nothing")
			again(last)
			require.NoError(t, verb(ctx, f.d))
			require.ErrorIs(t, makers["prepare"](ctx, f.d), snapshots.ErrPoolState, "that was the last one")
			require.NoError(t, f.held.Unmount())
			require.NoError(t, f.d.Close())
		})
	}
}

// A pool whose metadata is full turns read-only, and cannot even delete: the driver keeps
// a part of it free.
func TestMetadataIsKeptFree(t *testing.T) {
	for name, verb := range makers {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			f := newFaulty(t)
			require.NoError(t, f.d.Close())
			c := f.config()
			c.Admit = snapshots.Admission{MinFreeMetadata: 87}
			var err error
			f.d, err = snapshots.Open(ctx, c)
			require.NoError(t, err)
			free := func() float64 {
				_, err := f.d.Check(ctx) // asks the pool
				require.NoError(t, err)
				info, err := f.d.Pool(ctx)
				require.NoError(t, err)
				w, ok := info.Status.(thinpool.Working)
				require.True(t, ok)
				return 100 * float64(w.TotalMeta-w.UsedMeta) / float64(w.TotalMeta)
			}
			id := uint32(5000)
			for ; free() >= 87; id++ {
				require.True(t, f.m.Kernel.AddThin(fakeMetadata, id))
			}
			require.ErrorIs(t, verb(ctx, f.d), snapshots.ErrNoSpace)
			require.ErrorContains(t, verb(ctx, f.d), "metadata")
			require.NoError(t, f.d.Remove(ctx, "view"))
			for ; free() < 87; id-- {
				require.True(t, f.m.Kernel.LoseThin(fakeMetadata, id-1))
			}
			require.NoError(t, verb(ctx, f.d))
			require.NoError(t, f.held.Unmount())
			require.NoError(t, f.d.Close())
		})
	}
}

// Sizes that would overflow when they are rounded up are refused by every verb that takes
// one.
func TestSizesThatOverflow(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	d, err := snapshots.CreatePool(ctx, m.Config(), m.Options())
	require.NoError(t, err)
	_, err = d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	for _, size := range []uint64{1 << 63, ^uint64(0)} {
		for i, verb := range []func() error{
			func() error { _, err := d.Prepare(ctx, "new", "", snapshots.WithSize(size)); return err },
			func() error { _, err := d.Clone(ctx, "new", "work", snapshots.WithSize(size)); return err },
			func() error { return d.Resize(ctx, "work", size) },
			func() error { return d.GrowPool(ctx, size, 0) },
			func() error { return d.GrowPool(ctx, 0, size) },
		} {
			assert.ErrorIs(t, verb(), snapshots.ErrInvalid, fmt.Sprint(i, " ", size))
		}
	}
	require.NoError(t, d.DestroyPool(ctx))
}
