package snapshots_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// The kernel refuses a snapshot, and the catalog then refuses to forget it: nobody
// sees it, and once the catalog works again the key is free without a restart.
func TestSnapshotThatCannotEvenBeForgotten(t *testing.T) {
	ctx := t.Context()
	for _, verb := range []struct {
		name string
		make func(d *snapshots.Driver) error
	}{
		{"prepare", func(d *snapshots.Driver) error { _, err := d.Prepare(ctx, "new", "layer"); return err }},
		{"view", func(d *snapshots.Driver) error { _, err := d.View(ctx, "new", "layer"); return err }},
		{"clone", func(d *snapshots.Driver) error { _, err := d.Clone(ctx, "new", "work"); return err }},
	} {
		t.Run(verb.name, func(t *testing.T) {
			m := snapstest.NewFake(t)
			c := m.Config()
			var broken atomic.Bool
			c.OpenCatalog = hooked(func(method string) error {
				if broken.Load() && method == "remove" {
					return syscall.ENOSPC
				}
				return nil
			})
			d, err := snapshots.CreatePool(ctx, c, m.Options())
			require.NoError(t, err)
			defer func() { require.NoError(t, d.DestroyPool(context.Background())) }()
			_, err = d.Prepare(ctx, "base", "")
			require.NoError(t, err)
			require.NoError(t, d.Commit(ctx, "layer", "base"))
			_, err = d.Prepare(ctx, "work", "layer")
			require.NoError(t, err)

			broken.Store(true)
			m.Kernel.Inject(func(dmtest.Call) error { return syscall.EIO })
			err = verb.make(d)
			m.Kernel.Inject(nil)
			require.ErrorIs(t, err, syscall.EIO)
			require.ErrorIs(t, err, syscall.ENOSPC, "that it could not be taken back is said too")
			_, err = d.Stat(ctx, "new")
			require.ErrorIs(t, err, snapshots.ErrNotFound)
			require.ErrorIs(t, d.Remove(ctx, "new"), snapshots.ErrNotFound)
			require.NoError(t, d.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
				assert.NotEqual(t, "new", i.Key)
				return nil
			}))
			require.Error(t, verb.make(d), "the catalog is broken still")

			broken.Store(false)
			require.NoError(t, verb.make(d))
			_, err = d.Stat(ctx, "new")
			require.NoError(t, err)
			require.NoError(t, d.Remove(ctx, "new"))

			// Nobody wants the key again: it is taken back, and what is below is free.
			broken.Store(true)
			m.Kernel.Inject(func(dmtest.Call) error { return syscall.EIO })
			require.Error(t, verb.make(d))
			m.Kernel.Inject(nil)
			broken.Store(false)
			require.NoError(t, d.Remove(ctx, "work"))
			require.NoError(t, d.Remove(ctx, "layer"), "nothing invisible is in the way")
			require.NoError(t, d.Drain(ctx))
			info, err := d.Pool(ctx)
			require.NoError(t, err)
			assert.Zero(t, info.Trash)
			assert.Empty(t, info.Unknown)
			require.NoError(t, d.Close())
			d, err = snapshots.Open(ctx, c)
			require.NoError(t, err)
		})
	}
}
