package snapshots_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/thinpool"
)

// Several grow the pool at once: each makes it at least as large as it wants, or is
// told that it is larger already, and nobody shrinks it.
func TestPoolGrowsForSeveralAtOnce(t *testing.T) {
	m := snapstest.NewFake(t)
	o := m.Options()
	d, err := snapshots.CreatePool(t.Context(), m.Config(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.DestroyPool(context.Background())) }()
	const step, steps = 1 << 20, 40
	var all sync.WaitGroup
	for g := range uint64(4) {
		all.Go(func() {
			for i := range uint64(steps) {
				err := d.GrowPool(t.Context(), o.DataSize+(4*i+g+1)*step, 0)
				if !errors.Is(err, snapshots.ErrInvalid) { // it is larger already
					assert.NoError(t, err)
				}
			}
		})
	}
	all.Wait()
	info, err := d.Pool(t.Context())
	require.NoError(t, err)
	w, ok := info.Status.(thinpool.Working)
	require.True(t, ok)
	assert.GreaterOrEqual(t, uint64(w.TotalData)*info.BlockSize, o.DataSize+4*steps*step)
}
