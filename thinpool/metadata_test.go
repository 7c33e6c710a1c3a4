package thinpool_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// The kernel has one metadata snapshot. Who waits for it waits no longer than its context.
func TestWaitingForTheMetadataEnds(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	reads, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- p.ReadMetadata(context.Background(), func(*dmthin.Metadata) error {
			close(reads)
			<-leave
			return nil
		})
	}()
	<-reads
	messages := 0
	f.kernel.Inject(func(c dmtest.Call) error {
		if c.Op == "message" {
			messages++
		}
		return nil
	})
	never := func(*dmthin.Metadata) error {
		assert.Fail(t, "called while somebody else reads")
		return nil
	}
	waiting, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- p.ReadMetadata(waiting, never) }()
	cancel()
	require.ErrorIs(t, <-gaveUp, context.Canceled)
	require.ErrorIs(t, p.ReadMetadata(waiting, never), context.Canceled, "a context that has ended")
	assert.Zero(t, messages)
	f.kernel.Inject(nil)
	close(leave)
	require.NoError(t, <-left)
	require.NoError(t, p.ReadMetadata(t.Context(), func(*dmthin.Metadata) error { return nil }))
}

// Reading ends with the context, and the metadata snapshot is given back.
func TestReadingTheMetadataEnds(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	for _, when := range []string{"before", "while"} {
		ctx, cancel := context.WithCancel(t.Context())
		err := p.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
			if when == "while" {
				_, err := m.Device(context.Background(), 1)
				require.NoError(t, err)
			}
			cancel()
			_, err := m.Device(context.Background(), 1) // whatever context it was given
			return err
		})
		require.ErrorIs(t, err, context.Canceled, when)
		w, err := p.Working()
		require.NoError(t, err)
		assert.Zero(t, w.HeldRoot, when)
	}
	for i := 0; ; i++ {
		require.Less(t, i, 100)
		err := p.ReadMetadata(&endingContext{t.Context(), i}, func(m *dmthin.Metadata) error {
			_, err := m.Devices(context.Background())
			return err
		})
		w, status := p.Working()
		require.NoError(t, status)
		assert.Zero(t, w.HeldRoot)
		if err == nil {
			require.Greater(t, i, 2)
			break
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

// A pool that is read-only takes no messages: its metadata is read as it is on the disk.
func TestMetadataOfAReadOnlyPool(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	s, _ := f.kernel.Pool(f.spec.Metadata.Dev)
	require.NoError(t, os.WriteFile(f.spec.Metadata.Path, metadataOf(s), 0o600))
	f.kernel.LoseCommit(f.spec.Metadata.Dev)
	require.ErrorIs(t, p.CreateThin(2), thinpool.ErrLost)
	messages := 0
	f.kernel.Inject(func(c dmtest.Call) error {
		if c.Op == "message" {
			messages++
		}
		return nil
	})
	var ids []dmthin.ThinID
	require.NoError(t, p.ReadMetadata(t.Context(), func(m *dmthin.Metadata) error {
		devices, err := m.Devices(t.Context())
		for _, d := range devices {
			ids = append(ids, d.ID)
		}
		return err
	}))
	assert.Equal(t, []dmthin.ThinID{1}, ids)
	assert.Zero(t, messages)
	again, err := thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err, "a held root of a read-only pool cannot be given back")
	assert.Equal(t, p.Dev(), again.Dev())
	assert.Zero(t, messages)
}

// A metadata snapshot that a process left behind is given back when the pool is opened.
func TestMetadataSnapshotOfADeadProcess(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	_, err := f.dm.Message(ref(t, "test"), 0, "reserve_metadata_snap")
	require.NoError(t, err)
	_, err = thinpool.Open(t.Context(), f.dm, f.spec)
	require.NoError(t, err)
	w, err := p.Working()
	require.NoError(t, err)
	assert.Zero(t, w.HeldRoot)
}

func TestVerify(t *testing.T) {
	f := newFixture(t, 64*mib)
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	s, _ := f.kernel.Pool(f.spec.Metadata.Dev)
	good := metadataOf(s)
	path := f.spec.Metadata.Path
	require.NoError(t, os.WriteFile(path, good, 0o600))
	require.NoError(t, thinpool.Verify(t.Context(), path))

	bad := append([]byte{}, good...)
	bad[len(bad)-1] ^= 1
	require.NoError(t, os.WriteFile(path, bad, 0o600))
	err := thinpool.Verify(t.Context(), path)
	require.ErrorIs(t, err, thinpool.ErrDamaged)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "veneer pool repair")
	for i := range 3 {
		err = thinpool.Verify(&endingContext{t.Context(), i}, path)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, thinpool.ErrDamaged, "nobody knows")
	}
	require.ErrorIs(t, thinpool.Verify(t.Context(), path+".missing"), os.ErrNotExist)
	require.NotErrorIs(t, thinpool.Verify(t.Context(), path+".missing"), thinpool.ErrDamaged)
}

// endingContext ends after a number of questions whether it has.
type endingContext struct {
	context.Context
	left int
}

func (c *endingContext) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// A start reads all metadata of the pool, and can be interrupted meanwhile: nothing is
// active then.
func TestOpenAndCreateEndWithTheirContext(t *testing.T) {
	f := newFixture(t, 64*mib)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := thinpool.Create(ended, f.dm, f.spec)
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, f.kernel.Devices())
	for i := range 2 {
		_, err = thinpool.Create(&endingContext{t.Context(), i}, f.dm, f.spec)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, f.kernel.Devices())
	}
	p := f.create(t)
	require.NoError(t, p.CreateThin(1))
	require.NoError(t, p.Deactivate(t.Context()))
	for i := 0; ; i++ {
		require.Less(t, i, 1000)
		p, err := thinpool.Open(&endingContext{t.Context(), i}, f.dm, f.spec)
		if err == nil {
			require.Greater(t, i, 3, "the context is asked while the metadata is read")
			require.NoError(t, p.Deactivate(t.Context()))
			break
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, thinpool.ErrDamaged)
		assert.Empty(t, f.kernel.Devices())
	}
}
