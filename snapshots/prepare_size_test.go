package snapshots_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
)

// Sizes near 2^64 were rounded up to 0, and so passed for no size at all.
func TestImpossibleSizesAreRefused(t *testing.T) {
	f := newFaulty(t)
	ctx := t.Context()
	for _, size := range []uint64{math.MaxUint64, math.MaxUint64 - 65535, math.MaxInt64} {
		_, err := f.d.Prepare(ctx, "new", "base", snapshots.WithSize(size))
		require.ErrorIs(t, err, snapshots.ErrInvalid)
		_, err = f.d.Clone(ctx, "new", "idle", snapshots.WithSize(size))
		require.ErrorIs(t, err, snapshots.ErrInvalid)
		require.ErrorIs(t, f.d.Resize(ctx, "idle", size), snapshots.ErrInvalid)
		require.ErrorIs(t, f.d.GrowPool(ctx, size, 0), snapshots.ErrInvalid)
		require.ErrorIs(t, f.d.GrowPool(ctx, 0, size), snapshots.ErrInvalid)
	}
	require.NoError(t, f.held.Unmount())
	require.NoError(t, f.d.DestroyPool(ctx))
}
