package snapshots_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// beforeReading is a kernel with which something happens each time before its metadata
// is held for reading.
type beforeReading struct {
	devmapper.Transport
	do atomic.Pointer[func()]
}

func (b *beforeReading) Control(command uint8, buf []byte) error {
	if do := b.do.Load(); do != nil && bytes.Contains(buf, []byte("reserve_metadata_snap")) {
		(*do)()
	}
	return b.Transport.Control(command, buf)
}

// A snapshot may go, or get another thin device, between the look at its record and the
// look at the pool.
func TestMeasuredWhileItChanges(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	kernel := &beforeReading{Transport: m.Kernel}
	c := m.Config()
	c.DM = devmapper.New(kernel)
	d, err := snapshots.CreatePool(ctx, c, m.Options())
	require.NoError(t, err)
	defer func() { require.NoError(t, d.DestroyPool(context.Background())) }()
	mount, err := d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	v := m.Mount(t, mount)
	require.NoError(t, v.Put("a", "x"))
	require.NoError(t, v.Unmount())
	measure := map[string]func() (uint64, error){
		"usage": func() (uint64, error) { u, err := d.Usage(ctx, "work"); return u.Added, err },
		"freed": func() (uint64, error) { return d.Freed(ctx, "work") },
	}
	whenRead := func(do func()) {
		once := func() {
			kernel.do.Store(nil)
			do()
			assert.NoError(t, d.Drain(ctx))
		}
		kernel.do.Store(&once)
	}
	for name, f := range measure {
		before, err := f()
		require.NoError(t, err)
		whenRead(func() { _, err := d.Rollback(ctx, "work", "work"); assert.NoError(t, err) })
		now, err := f()
		require.NoError(t, err, "%s of a snapshot that was rolled back to itself", name)
		assert.NotZero(t, now, name)
		assert.Equal(t, before, now, name)
	}
	for name, f := range measure {
		_, err := d.Clone(ctx, "copy", "work")
		require.NoError(t, err)
		whenRead(func() { assert.NoError(t, d.Remove(ctx, "work")) })
		_, err = f()
		require.ErrorIs(t, err, snapshots.ErrNotFound, name)
		_, err = d.Clone(ctx, "work", "copy")
		require.NoError(t, err)
		require.NoError(t, d.Remove(ctx, "copy"))
	}
	require.NoError(t, d.Remove(ctx, "work"))
}
