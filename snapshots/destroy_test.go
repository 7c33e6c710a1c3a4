package snapshots_test

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// discardThatWaits is a disk whose discard takes until its context ends, once.
type discardThatWaits struct {
	snapshots.Host
	armed   atomic.Bool
	entered chan struct{}
}

func (h *discardThatWaits) Discard(ctx context.Context, device string) error {
	if h.armed.CompareAndSwap(true, false) {
		close(h.entered)
		<-ctx.Done()
		return ctx.Err()
	}
	return h.Host.Discard(ctx, device)
}

// stubborn are disks that cannot be deleted.
type stubborn struct{ snapshots.Disks }

func (stubborn) Delete(context.Context, metadata.Pool) error { return syscall.EIO }

// A pool that is half destroyed has no background work any more: who waits for it is told,
// and a DestroyPool that fails again does not bring it back.
func TestNothingWorksOnAPoolThatIsBeingDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := snapstest.NewFakeAt(t.TempDir())
		c := m.Config()
		h := &discardThatWaits{Host: c.Host, entered: make(chan struct{})}
		c.Host, c.Disks = h, stubborn{c.Disks}
		d, err := snapshots.CreatePool(ctx, c, m.Options())
		require.NoError(t, err)
		_, err = d.Prepare(ctx, "work", "")
		require.NoError(t, err)
		h.armed.Store(true)
		require.NoError(t, d.Remove(ctx, "work"))
		<-h.entered
		drained := make(chan error, 1)
		go func() { drained <- d.Drain(ctx) }()
		synctest.Wait() // it waits for the pass that waits for the discard
		require.ErrorIs(t, d.DestroyPool(ctx), syscall.EIO)
		require.ErrorIs(t, <-drained, snapshots.ErrPoolState)
		require.ErrorIs(t, d.Drain(ctx), snapshots.ErrPoolState)

		var calls atomic.Int64
		m.Kernel.Inject(func(call dmtest.Call) error {
			calls.Add(1)
			if strings.Contains(strings.ToLower(call.Op), "list") {
				return syscall.ENOMEM
			}
			return nil
		})
		require.Error(t, d.DestroyPool(ctx))
		calls.Store(0)
		synctest.Wait()
		assert.Zero(t, calls.Load())
		m.Kernel.Inject(nil)
		require.NoError(t, d.Close())
	})
}

// DestroyPool whose first record cannot be written leaves the pool as it was.
func TestDestroyThatCannotBegin(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	c := m.Config()
	var full atomic.Bool
	c.OpenCatalog = hooked(func(string) error {
		if full.Load() {
			return syscall.ENOSPC
		}
		return nil
	})
	d, err := snapshots.CreatePool(ctx, c, m.Options())
	require.NoError(t, err)
	_, err = d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	before := m.Kernel.Devices()
	full.Store(true)
	require.ErrorIs(t, d.DestroyPool(ctx), syscall.ENOSPC)
	full.Store(false)
	assert.ElementsMatch(t, before, m.Kernel.Devices())
	require.NoError(t, d.Remove(ctx, "work"))
	require.NoError(t, d.Drain(ctx), "the reaper works")
	require.NoError(t, d.DestroyPool(ctx))
}

// disksThatGrowSlowly grow when they are told to.
type disksThatGrowSlowly struct {
	snapshots.Disks
	entered, end chan struct{}
}

func (s disksThatGrowSlowly) Grow(ctx context.Context, p metadata.Pool, data, meta uint64) error {
	s.entered <- struct{}{}
	<-s.end
	return s.Disks.Grow(ctx, p, data, meta)
}

// Of two that grow the pool one waits, no longer than its context.
func TestGrowingWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := snapstest.NewFakeAt(t.TempDir())
		c := m.Config()
		s := disksThatGrowSlowly{c.Disks, make(chan struct{}), make(chan struct{})}
		c.Disks = s
		d, err := snapshots.CreatePool(t.Context(), c, m.Options())
		require.NoError(t, err)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- d.GrowPool(t.Context(), 512<<20, 0) }()
		<-s.entered
		ctx, cancel := context.WithCancel(t.Context())
		go func() { second <- d.GrowPool(ctx, 512<<20, 0) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-second, context.Canceled)
		close(s.end)
		require.NoError(t, <-first)
		require.NoError(t, d.DestroyPool(t.Context()))
	})
}
