package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/resulttest"
)

// contents reads file "a" of every snapshot.
func contents(t *testing.T, m *snapstest.Real, d *snapshots.Driver) map[string]string {
	t.Helper()
	ctx := t.Context()
	var all []snapshots.Info
	require.NoError(t, d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { all = append(all, i); return nil }))
	slices.SortFunc(all, func(a, b snapshots.Info) int { return -strings.Compare(string(a.Kind), string(b.Kind)) }) // views first
	held := map[string]string{}
	for _, i := range all {
		var mount snapshots.Mount
		var err error
		if strings.HasPrefix(i.Key, "look ") { // one header page back it was there still
			require.NoError(t, d.Remove(ctx, i.Key))
			continue
		}
		if i.Kind == snapshots.KindCommitted {
			mount, err = d.View(ctx, "look "+i.Key, i.Key)
		} else {
			mount, err = d.Mounts(ctx, i.Key)
		}
		require.NoError(t, err)
		v := m.Mount(t, mount)
		held[i.Key], err = v.Get("a")
		require.NoError(t, errors.Join(err, v.Unmount()))
		if i.Kind == snapshots.KindCommitted {
			require.NoError(t, d.Remove(ctx, "look "+i.Key))
		}
	}
	return held
}

// aStore is a deactivated store with eight snapshots of 1 MiB each.
func aStore(t *testing.T) (*snapstest.Real, map[string]string) {
	t.Helper()
	requireVM(t)
	m := snapstest.NewReal(t, "ext4")
	d, err := snapshots.CreatePool(t.Context(), m.Config(), m.Options())
	require.NoError(t, err)
	parent := ""
	for i := range 8 {
		name := fmt.Sprint("s", i)
		layerOf(t, m, d, name, parent, "a", strings.Repeat(name, 512<<10))
		parent = name
	}
	want := contents(t, m, d)
	require.NoError(t, d.Drain(t.Context()))
	require.NoError(t, d.Deactivate(t.Context()))
	return m, want
}

func left(t *testing.T, m *snapstest.Real) (devices []string) {
	t.Helper()
	for _, what := range m.LeftOver(t) {
		if _, err := os.Stat(what); errors.Is(err, fs.ErrNotExist) {
			devices = append(devices, what)
		}
	}
	return devices
}

// Damage of the pool's metadata: refused with a sentence that says what to do, and
// nothing is written. The repair saves everything but what it names.
func TestDamagedMetadataIsRefusedAndRepaired(t *testing.T) {
	m, want := aStore(t)
	row, end := resulttest.Begin(t, "damaged pool metadata", 1)
	defer end()
	ctx := t.Context()
	meta, _ := m.PoolFiles()
	whole, err := os.ReadFile(meta)
	require.NoError(t, err)
	catalog, err := os.ReadFile(filepath.Join(m.Config().Root, "catalog.db"))
	require.NoError(t, err)
	var used []int
	for n := 1; n < len(whole)/4096; n++ {
		if len(bytes.Trim(whole[n*4096:(n+1)*4096], "\x00")) > 0 {
			used = append(used, n)
		}
	}
	r := rand.New(rand.NewPCG(1, 6))
	refused, unused, repaired, lossy := 0, 0, 0, 0
	damage := func(name string, content []byte, mustBeRefused bool) {
		row.Points++
		require.NoError(t, os.WriteFile(meta, content, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(m.Config().Root, "catalog.db"), catalog, 0o600))
		_, _, checkErr := snapshots.CheckAtRest(ctx, m.Config())
		d, err := snapshots.Open(ctx, m.Config())
		if err == nil {
			require.False(t, mustBeRefused, name)
			require.NoError(t, d.Deactivate(ctx))
			unused++
			return
		}
		refused++
		require.Error(t, checkErr, name)
		require.ErrorContains(t, err, "veneer pool repair", name)
		now, readErr := os.ReadFile(meta)
		require.NoError(t, readErr)
		require.True(t, bytes.Equal(content, now), "%s: the driver wrote to damaged metadata: %v", name, err)
		require.Empty(t, left(t, m), name)
		if refused%3 != 0 && !mustBeRefused {
			return
		}
		rep, err := snapshots.RepairPool(ctx, m.Config())
		require.NoError(t, err, name)
		repaired++
		require.Error(t, rep.Damage)
		kept, err := os.ReadFile(rep.Kept)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, kept), "%s: the old metadata is kept", name)
		require.NoError(t, os.Remove(rep.Kept))
		thinCheck(t, meta)
		_, err = snapshots.Examine(ctx, m.Config(), true)
		require.NoError(t, err, name)
		d, err = snapshots.Open(ctx, m.Config())
		require.NoError(t, err, name)
		if len(rep.Lost)+len(rep.Shrunk) > 0 {
			lossy++
		}
		var keys []string
		require.NoError(t, d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { keys = append(keys, i.Key); return nil }))
		if len(rep.Shrunk) == 0 {
			got := contents(t, m, d)
			for key := range want {
				if !slices.Contains(rep.Lost, key) {
					require.Equal(t, len(want[key]), len(got[key]), "%s: %s", name, key)
					require.True(t, want[key] == got[key], "%s: content of %s", name, key)
				}
			}
		}
		require.NoError(t, d.Deactivate(ctx))
	}
	flip := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 1 << r.IntN(8)
		return b
	}
	for range 3 {
		damage("a bit of the superblock", flip(r.IntN(400)), true)
	}
	zeroed := bytes.Clone(whole)
	clear(zeroed[:4096])
	damage("the superblock zeroed", zeroed, true)
	for _, block := range used {
		at := block*4096 + r.IntN(4096)
		damaged := flip(at)
		if old, err := dmthin.Open(bytes.NewReader(damaged)); err == nil && old.Verify(ctx) == nil && block%16 != 0 {
			continue // most blocks hold older states, and are not in use
		}
		damage(fmt.Sprint("a bit of byte ", at), damaged, false)
	}
	damage("cut in half", whole[:len(whole)/2/4096*4096], false)
	t.Logf("%d damages refused, %d in blocks that are not in use; %d repaired, %d of them with losses that were named", refused, unused, repaired, lossy)
	require.Greater(t, refused, 8)

	require.NoError(t, os.WriteFile(meta, whole, 0o600))
	d, err := snapshots.Open(ctx, m.Config())
	require.NoError(t, err)
	_, err = snapshots.RepairPool(ctx, m.Config())
	require.ErrorIs(t, err, snapshots.ErrLocked)
	require.NoError(t, d.Close())
	_, err = snapshots.RepairPool(ctx, m.Config())
	require.ErrorIs(t, err, snapshots.ErrInUse)
	assert.ErrorContains(t, err, "veneer pool deactivate")
	require.NoError(t, snapshots.TakeDown(ctx, m.Config()))
	rep, err := snapshots.RepairPool(ctx, m.Config())
	require.NoError(t, err)
	assert.NoError(t, rep.Damage)
	d, err = snapshots.Open(ctx, m.Config())
	require.NoError(t, err)
	require.NoError(t, d.DestroyPool(ctx))
}

// A lost catalog is made again of what the pool and its devices tell, while a
// container runs on it.
func TestLostCatalogIsRebuilt(t *testing.T) {
	for _, how := range []string{"removed while active", "removed at rest", "damaged"} {
		t.Run(how, func(t *testing.T) {
			m, want := aStore(t)
			ctx := t.Context()
			d, err := snapshots.Open(ctx, m.Config())
			require.NoError(t, err)
			mount, err := d.Prepare(ctx, "container", "s7", snapshots.WithSize(128<<20))
			require.NoError(t, err)
			container := m.Mount(t, mount)
			require.NoError(t, container.Put("a", "runs"))
			_, err = d.View(ctx, "view", "s3")
			require.NoError(t, err)
			catalog := filepath.Join(m.Config().Root, "catalog.db")
			if how == "removed while active" {
				require.NoError(t, d.Close())
				require.NoError(t, os.Remove(catalog))
			} else {
				require.NoError(t, container.Unmount())
				require.NoError(t, d.Deactivate(ctx))
				b, err := os.ReadFile(catalog)
				require.NoError(t, err)
				clear(b[8192:])
				if how == "damaged" {
					require.NoError(t, os.WriteFile(catalog, b, 0o600))
				} else {
					require.NoError(t, os.Remove(catalog))
				}
			}
			_, err = snapshots.Open(ctx, m.Config())
			require.ErrorIs(t, err, snapshots.ErrInconsistent)
			require.ErrorContains(t, err, "veneer doctor --fix")
			findings, err := snapshots.Examine(ctx, m.Config(), false)
			require.NoError(t, err)
			require.Len(t, findings, 1)
			require.Contains(t, findings[0].Cure, "cannot be known")
			findings, err = snapshots.Examine(ctx, m.Config(), true)
			require.NoError(t, err)
			for _, f := range findings {
				assert.True(t, f.Done, "%s; %s", f.What, f.Cure)
			}
			d, err = snapshots.Open(ctx, m.Config())
			require.NoError(t, err)
			values := func(m map[string]string, more ...string) (v []string) {
				for _, content := range m {
					v = append(v, fmt.Sprintf("%.4s of %d", content, len(content)))
				}
				v = append(v, more...)
				slices.Sort(v)
				return v
			}
			// The template, which was empty, is a snapshot now.
			require.Equal(t, values(want, "runs of 4", " of 0"), values(contents(t, m, d)))
			if how == "removed while active" {
				require.NoError(t, container.Put("a", "runs on"))
				require.NoError(t, container.Unmount())
				committed := 0
				require.NoError(t, d.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
					if i.Kind == snapshots.KindCommitted {
						committed++
					}
					return nil
				}))
				assert.Equal(t, 1, committed, "the one with a view was active read-only")
			}
			_, err = d.Prepare(ctx, "new", "")
			require.NoError(t, err)
			_, err = d.Check(ctx)
			require.NoError(t, err)
			require.NoError(t, d.DestroyPool(ctx))
		})
	}
}

// The header page that is damaged is the newer one or the older one; either way the
// doctor brings the store up again.
func TestDamagedHeaderOfTheCatalogIsMended(t *testing.T) {
	m, want := aStore(t)
	ctx := t.Context()
	path := filepath.Join(m.Config().Root, "catalog.db")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, at := range []int{16, 4096 + 16} {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 4
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err = snapshots.Open(ctx, m.Config())
		require.ErrorIs(t, err, snapshots.ErrInconsistent)
		require.ErrorIs(t, err, metadata.ErrCorrupt)
		_, err = snapshots.Examine(ctx, m.Config(), true)
		require.NoError(t, err)
		d, err := snapshots.Open(ctx, m.Config())
		require.NoError(t, err)
		require.Equal(t, len(want), len(contents(t, m, d)))
		require.NoError(t, d.Drain(ctx))
		require.NoError(t, d.Deactivate(ctx))
	}
	d, err := snapshots.Open(ctx, m.Config())
	require.NoError(t, err)
	require.NoError(t, d.DestroyPool(ctx))
}
