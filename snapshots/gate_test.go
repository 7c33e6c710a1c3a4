package snapshots_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/waittest"
)

// Every verb, Drain, Close, Deactivate and DestroyPool at once: all of them end, with an
// answer that says what happened, and the store is there afterwards, or gone.
func TestLifecycleCallsAtOnce(t *testing.T) {
	for name, end := range map[string]func(context.Context, *snapshots.Driver) error{
		"close":      func(_ context.Context, d *snapshots.Driver) error { return d.Close() },
		"deactivate": func(ctx context.Context, d *snapshots.Driver) error { return d.Deactivate(ctx) },
		"destroy":    func(ctx context.Context, d *snapshots.Driver) error { return d.DestroyPool(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 6 {
				ctx := waittest.Context(t)
				m := snapstest.NewFake(t)
				d, err := snapshots.CreatePool(ctx, m.Config(), m.Options())
				require.NoError(t, err)
				_, err = d.Prepare(ctx, "tmp", "")
				require.NoError(t, err)
				require.NoError(t, d.Commit(ctx, "base", "tmp"))
				var all sync.WaitGroup
				for worker := range 6 {
					all.Go(func() { work(ctx, t, d, fmt.Sprint(worker)) })
				}
				for range 2 {
					all.Go(func() {
						err := end(ctx, d)
						if err != nil && !errors.Is(err, snapshots.ErrClosed) {
							assert.ErrorIs(t, err, snapshots.ErrInUse, "round %d", round)
						}
					})
				}
				all.Go(func() { assert.NoError(t, d.Close()) })
				all.Wait()
				_, err = d.Stat(ctx, "base")
				require.ErrorIs(t, err, snapshots.ErrClosed)
				require.ErrorIs(t, d.Drain(ctx), snapshots.ErrClosed)
				require.ErrorIs(t, d.Deactivate(ctx), snapshots.ErrClosed)
				require.ErrorIs(t, d.DestroyPool(ctx), snapshots.ErrClosed)
				d, err = snapshots.Open(ctx, m.Config())
				if errors.Is(err, snapshots.ErrNotFound) {
					require.Equal(t, "destroy", name)
					require.Empty(t, m.LeftOver(t))
					continue
				}
				require.NoError(t, err)
				require.NoError(t, d.DestroyPool(ctx))
				require.Empty(t, m.LeftOver(t))
			}
		})
	}
}

// work makes and removes snapshots until the driver is closed.
func work(ctx context.Context, t *testing.T, d *snapshots.Driver, key string) {
	for n := 0; ; n++ {
		name := fmt.Sprint(key, " ", n)
		_, err := d.Prepare(ctx, name, "base")
		if err == nil {
			err = d.Commit(ctx, name+" done", name)
		}
		if err == nil {
			_, err = d.View(ctx, name+" view", name+" done")
		}
		if err == nil {
			err = errors.Join(d.Remove(ctx, name+" view"), d.Remove(ctx, name+" done"))
		}
		if err == nil && n%3 == 0 {
			err = d.Drain(ctx)
		}
		if err != nil {
			assert.ErrorIs(t, err, snapshots.ErrClosed)
			return
		}
	}
}

// An answer "in use" leaves the pool as it was: everything in it is there and can be used,
// and the background works on.
func TestInUseLeavesThePoolAsItWas(t *testing.T) {
	for name, end := range map[string]func(context.Context, *snapshots.Driver) error{
		"deactivate": func(ctx context.Context, d *snapshots.Driver) error { return d.Deactivate(ctx) },
		"destroy":    func(ctx context.Context, d *snapshots.Driver) error { return d.DestroyPool(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := waittest.Context(t)
			f := newFaulty(t)
			before := f.m.Kernel.Devices()
			require.ErrorIs(t, end(ctx, f.d), snapshots.ErrInUse)
			assert.ElementsMatch(t, before, f.m.Kernel.Devices())
			require.NoError(t, f.d.Remove(ctx, "idle"))
			require.NoError(t, f.d.Drain(ctx), "the reaper works")
			require.NoError(t, f.d.Close())
			f.open(step(0))
			require.NoError(t, f.held.Unmount())
			keys := map[string]string{"base": "base", "held": "held", "view": "base", "idle": "-"}
			require.Equal(t, keys, f.all(ctx, keys))
			require.NoError(t, f.d.DestroyPool(ctx))
		})
	}
}

// Who waits for its turn waits no longer than its context.
func TestWaitingForItsTurnEndsWithTheContext(t *testing.T) {
	_, d, disk, committed := committing(t)
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 2)
	go func() { answers <- d.Deactivate(ctx) }()
	go func() { answers <- d.DestroyPool(ctx) }()
	cancel()
	for range 2 {
		require.ErrorIs(t, <-answers, context.Canceled)
	}
	disk.end <- struct{}{}
	require.NoError(t, <-committed)
	_, err := d.Stat(t.Context(), "layer")
	require.NoError(t, err, "the driver goes on")
}
