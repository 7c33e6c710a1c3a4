package snapshots_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/waittest"
)

// slowDisk is a machine whose flushes take until they are told to end.
type slowDisk struct {
	snapshots.Host
	slow          atomic.Bool
	flushing, end chan struct{}
}

func (s *slowDisk) Settle(ctx context.Context, device string) (filesystem.State, error) {
	if s.slow.Load() {
		s.flushing <- struct{}{}
		<-s.end
	}
	return s.Host.Settle(ctx, device)
}

// committing is a store whose snapshot "work" is being committed as "layer": the disk
// flushes until it is told to end, and then the commit answers.
func committing(t *testing.T) (m *snapstest.Fake, d *snapshots.Driver, disk *slowDisk, committed <-chan error) {
	t.Helper()
	m = snapstest.NewFake(t)
	c := m.Config()
	disk = &slowDisk{Host: c.Host, flushing: make(chan struct{}), end: make(chan struct{})}
	c.Host = disk
	d, err := snapshots.CreatePool(t.Context(), c, m.Options())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.DestroyPool(context.Background())) })
	_, err = d.Prepare(t.Context(), "work", "")
	require.NoError(t, err)
	disk.slow.Store(true)
	answer := make(chan error, 1)
	go func() { answer <- d.Commit(t.Context(), "layer", "work") }()
	<-disk.flushing
	return m, d, disk, answer
}

// While a commit flushes a snapshot, another operation on it waits as long as its
// caller wants, and none changes what is committed.
func TestOneOperationAtATimeOnASnapshot(t *testing.T) {
	ctx := t.Context()
	m, d, disk, committed := committing(t)

	for _, verb := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := d.Mounts(ctx, "work"); return err },
		func(ctx context.Context) error { return d.Resize(ctx, "work", 1<<30) },
		func(ctx context.Context) error { _, err := d.Rollback(ctx, "work", ""); return err },
		func(ctx context.Context) error { _, err := d.Clone(ctx, "copy", "work"); return err },
	} {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		require.ErrorIs(t, verb(short), context.DeadlineExceeded)
		cancel()
	}

	rolledBack := make(chan error, 1)
	go func() {
		_, err := d.Rollback(ctx, "work", "")
		rolledBack <- err
	}()
	disk.end <- struct{}{}
	require.NoError(t, <-committed)
	require.ErrorIs(t, <-rolledBack, snapshots.ErrNotFound, "what was committed is not rolled back")
	require.NoError(t, d.Drain(ctx))
	assert.Equal(t, []string{"fake"}, m.Kernel.Devices(), "nothing that is committed is active")
	require.NoError(t, d.Remove(ctx, "layer"))
}

// A snapshot that grows while it is cloned or rolled back: what comes of it has the
// size that its record says, and its filesystem fits.
func TestGrownWhileCopied(t *testing.T) {
	for name, test := range map[string]struct {
		step string // of the catalog, at which the snapshot begins to grow
		copy func(context.Context, *snapshots.Driver) error
	}{
		"clone": {"create", func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Clone(ctx, "copy", "work")
			return err
		}},
		"rollback": {"reserve", func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Rollback(ctx, "work", "")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			m := snapstest.NewFake(t)
			c := m.Config()
			var d *snapshots.Driver
			var armed atomic.Bool
			grown := make(chan error, 1)
			c.OpenCatalog = hooked(func(method string) error {
				if method != test.step || !armed.CompareAndSwap(true, false) {
					return nil
				}
				go func() { grown <- d.Resize(ctx, "work", 2*m.Options().BaseSize) }()
				// Whoever works on the snapshot, growing it or copying it, has it now.
				for {
					short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
					_, err := d.Mounts(short, "work")
					cancel()
					if err != nil {
						return nil
					}
				}
			})
			d, err := snapshots.CreatePool(ctx, c, m.Options())
			require.NoError(t, err)
			defer func() { require.NoError(t, d.DestroyPool(context.Background())) }()
			_, err = d.Prepare(ctx, "work", "")
			require.NoError(t, err)
			armed.Store(true)
			require.NoError(t, test.copy(ctx, d))
			require.NoError(t, <-grown)
			require.NoError(t, d.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
				mount, err := d.Mounts(ctx, i.Key)
				require.NoError(t, err)
				v := m.Mount(t, mount)
				assert.LessOrEqual(t, v.Size(), i.Size)
				require.NoError(t, v.Unmount())
				if i.Key == "work" {
					assert.Equal(t, 2*m.Options().BaseSize, i.Size, "growing it was acknowledged")
				}
				return nil
			}))
		})
	}
}

// Two snapshots that are rolled back to each other wait for each other, and not for ever.
func TestRolledBackToEachOther(t *testing.T) {
	ctx := waittest.Context(t)
	m := snapstest.NewFake(t)
	d, err := snapshots.CreatePool(ctx, m.Config(), m.Options())
	require.NoError(t, err)
	defer func() { require.NoError(t, d.DestroyPool(context.Background())) }()
	for _, key := range []string{"left", "right"} {
		_, err := d.Prepare(ctx, key, "")
		require.NoError(t, err)
	}
	var both sync.WaitGroup
	for _, keys := range [][2]string{{"left", "right"}, {"right", "left"}} {
		both.Go(func() {
			for range 50 {
				_, err := d.Rollback(ctx, keys[0], keys[1])
				assert.NoError(t, err)
			}
		})
	}
	both.Wait()
	require.NoError(t, d.Drain(ctx))
}

// A snapshot that is removed while it is committed, and another one that is made with
// its key: the other one stays as it is.
func TestMadeAnewWhileCommitted(t *testing.T) {
	ctx := t.Context()
	m, d, disk, committed := committing(t)
	require.NoError(t, d.Remove(ctx, "work"))
	mount, err := d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	v := m.Mount(t, mount)
	require.NoError(t, v.Put("a", "new"))
	require.NoError(t, v.Unmount())
	disk.end <- struct{}{}
	require.ErrorIs(t, <-committed, snapshots.ErrNotFound)
	_, err = d.Stat(ctx, "layer")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	require.NoError(t, d.Drain(ctx))
	mount, err = d.Mounts(ctx, "work")
	require.NoError(t, err)
	v = m.Mount(t, mount)
	content, err := v.Get("a")
	require.NoError(t, err)
	assert.Equal(t, "new", content)
	require.NoError(t, v.Unmount())
}
