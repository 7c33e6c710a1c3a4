package snapshots_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process that dies while it resizes, after the record and before the table, or later:
// the next mount has the size that the record says, and its filesystem fits.
func TestResizeKilledBetweenRecordAndTable(t *testing.T) {
	for steps := 1; ; steps++ {
		require.Less(t, steps, 20)
		f := newFaulty(t)
		ctx := t.Context()
		f.dieAt(steps)
		err := f.d.Resize(ctx, "idle", 128<<20)
		_ = f.d.Close() // it may be dead
		if died := f.disarm(); !died {
			require.NoError(t, err)
			return
		}
		f.open(step(steps))
		m, err := f.d.Mounts(ctx, "idle")
		require.NoError(t, err)
		info, err := f.d.Stat(ctx, "idle")
		require.NoError(t, err)
		require.EqualValues(t, 128<<20, info.Size, "it was recorded")
		disk, err := f.m.Kernel.Open(m.Source[len("/dev/mapper/"):])
		require.NoError(t, err)
		assert.EqualValues(t, 128<<20, disk.Size(), "killed after step %d", steps)
		require.NoError(t, disk.Close())
		v := f.m.Mount(t, m)
		content, err := v.Get("a")
		require.NoError(t, err)
		assert.Equal(t, "idle", content)
		require.NoError(t, v.Unmount())
		require.NoError(t, f.held.Unmount())
	}
}
