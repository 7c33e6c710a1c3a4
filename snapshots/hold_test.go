package snapshots_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// slowDisk is a machine whose flushes take until they are told to end.
type slowDisk struct {
	snapshots.Host
	slow          atomic.Bool
	flushing, end chan struct{}
}

func (s *slowDisk) Settle(ctx context.Context, m snapshots.Mount) (bool, error) {
	if s.slow.Load() {
		s.flushing <- struct{}{}
		<-s.end
	}
	return s.Host.Settle(ctx, m)
}

// While a commit flushes a snapshot, another operation on it waits as long as its
// caller wants, and none changes what is committed.
func TestOneOperationAtATimeOnASnapshot(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	c := m.Config()
	disk := &slowDisk{Host: c.Host, flushing: make(chan struct{}), end: make(chan struct{})}
	c.Host = disk
	d, err := snapshots.CreatePool(ctx, c, m.Options())
	require.NoError(t, err)
	defer func() { require.NoError(t, d.DestroyPool(context.Background())) }()
	_, err = d.Prepare(ctx, "work", "")
	require.NoError(t, err)

	before, err := d.Pool(ctx)
	require.NoError(t, err)
	disk.slow.Store(true)
	committed, rolledBack := make(chan error, 1), make(chan error, 1)
	go func() { committed <- d.Commit(ctx, "layer", "work") }()
	<-disk.flushing

	for _, verb := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := d.Mounts(ctx, "work"); return err },
		func(ctx context.Context) error { return d.Resize(ctx, "work", 1<<30) },
		func(ctx context.Context) error { _, err := d.Rollback(ctx, "work", ""); return err },
	} {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		require.ErrorIs(t, verb(short), context.DeadlineExceeded)
		cancel()
	}

	going, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, err := d.Rollback(going, "work", "")
		rolledBack <- err
	}()
	require.Eventually(t, func() bool {
		info, err := d.Pool(ctx)
		return err == nil && info.Snapshots == before.Snapshots+2 // those of two rollbacks
	}, time.Minute, time.Millisecond)
	disk.end <- struct{}{}
	require.NoError(t, <-committed)
	require.ErrorIs(t, <-rolledBack, snapshots.ErrNotFound, "what was committed is not rolled back")
	require.NoError(t, d.Drain(ctx))
	assert.Equal(t, []string{"fake"}, m.Kernel.Devices(), "nothing that is committed is active")
	require.NoError(t, d.Remove(ctx, "layer"))
}
