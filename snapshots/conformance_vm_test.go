package snapshots_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

func requireVM(t testing.TB) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

func TestConformanceOnTheKernel(t *testing.T) {
	requireVM(t)
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			snapstest.Run(t, func(t *testing.T) snapstest.Machine {
				t.Helper()
				r := snapstest.NewReal(t, filesystem)
				r.Check = thinCheck
				return r
			})
		})
	}
}

// thinCheck has the reference tool look at the metadata after every teardown.
func thinCheck(tb testing.TB, metadata string) {
	tb.Helper()
	out, err := exec.Command("thin_check", metadata).CombinedOutput()
	require.NoError(tb, err, "thin_check: %s", out)
}

// What the driver says of a live pool under a random load is what the reference
// tools say of it afterwards.
func TestUsageAgreesWithToolsAfterRandomLoad(t *testing.T) {
	requireVM(t)
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 8))
		m := snapstest.NewReal(t, "ext4")
		d, err := snapshots.CreatePool(t.Context(), m.Config(), m.Options())
		require.NoError(t, err)
		keys := []string{}
		for i := range 40 {
			key, parent := fmt.Sprint("s", i), ""
			if len(keys) > 0 && r.IntN(5) > 0 {
				parent = keys[r.IntN(len(keys))]
			}
			mount, err := d.Prepare(t.Context(), key+"-work", parent)
			require.NoError(t, err)
			v := m.Mount(t, mount)
			for range r.IntN(6) {
				require.NoError(t, v.Put(fmt.Sprint("f", r.IntN(10)), strings.Repeat(fmt.Sprint(i), 1+r.IntN(200_000))))
			}
			require.NoError(t, v.Unmount())
			require.NoError(t, d.Commit(t.Context(), key, key+"-work"))
			keys = append(keys, key)
			if r.IntN(4) == 0 {
				victim := r.IntN(len(keys))
				if err := d.Remove(t.Context(), keys[victim]); err == nil {
					keys = slices.Delete(keys, victim, victim+1)
				} else {
					require.ErrorIs(t, err, snapshots.ErrInUse)
				}
			}
		}
		require.NoError(t, d.Drain(t.Context()))
		type pair struct{ mapped, freed uint64 }
		ours := map[string]pair{}
		for _, key := range keys {
			i, err := d.Stat(t.Context(), key)
			require.NoError(t, err)
			u, err := d.Usage(t.Context(), key)
			require.NoError(t, err)
			freed, err := d.Freed(t.Context(), key)
			require.NoError(t, err)
			ours[i.ThinID.String()] = pair{u.Mapped >> 16, freed >> 16}
		}
		require.NoError(t, d.Deactivate(t.Context()))
		meta, _ := m.PoolFiles()
		thinCheck(t, meta)
		out, err := exec.Command("thin_ls", "--no-headers", "-o", "DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS", meta).Output()
		require.NoError(t, err)
		seen := 0
		for line := range strings.Lines(string(out)) {
			var id string
			var p pair
			_, err := fmt.Sscan(line, &id, &p.mapped, &p.freed)
			require.NoError(t, err)
			if want, ok := ours[id]; ok {
				assert.Equal(t, p, want, "thin %s", id)
				seen++
			}
		}
		assert.Equal(t, len(keys), seen)
		d, err = snapshots.Open(t.Context(), m.Config())
		require.NoError(t, err)
		require.NoError(t, d.DestroyPool(t.Context()))
	}
}
