package snapshots_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// A catalog put back from a copy that is older than the pool: an id that was reserved at
// that time may be a container by now, and is not deleted for it.
func TestAnOlderCatalogDeletesNothing(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	path := filepath.Join(c.m.Config().Root, "catalog.db")
	var reserved dmthin.ThinID
	c.catalog(func(cat *metadata.Catalog) {
		var err error
		reserved, err = cat.Reserve(64<<20, "rollback")
		require.NoError(t, err)
	})
	copied, err := os.ReadFile(path)
	require.NoError(t, err)
	// The operation ends well, and others follow.
	idle := c.record("idle")
	c.message("create_snap " + reserved.String() + " " + idle.Thin.String())
	c.catalog(func(cat *metadata.Catalog) {
		_, err := cat.ReplaceThin(idle, reserved, 64<<20)
		require.NoError(t, err)
	})
	d, err := c.open()
	require.NoError(t, err)
	for _, key := range []string{"later", "and later"} {
		_, err = d.Prepare(ctx, key, "base")
		require.NoError(t, err)
	}
	require.NoError(t, d.Drain(ctx))
	require.NoError(t, d.Close())

	require.NoError(t, os.WriteFile(path, copied, 0o600))
	d, err = c.open()
	require.NoError(t, err)
	require.NoError(t, d.Drain(ctx))
	info, err := d.Pool(ctx)
	require.NoError(t, err)
	assert.Contains(t, info.Unknown, reserved)
	assert.Len(t, info.Unknown, 3)
	require.NoError(t, d.Close())
	findings, err := snapshots.Examine(ctx, c.m.Config(), true)
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	assert.Contains(t, findings[0].What, "older than the pool")
	d = c.mustOpen()
	info, err = d.Pool(ctx)
	require.NoError(t, err)
	assert.Empty(t, info.Unknown)
	lost, err := d.Stat(ctx, "idle")
	require.NoError(t, err)
	assert.True(t, lost.Lost, "the thin device that the copy names was deleted since")
	m, err := d.Mounts(ctx, "recovered-"+reserved.String())
	require.NoError(t, err)
	v := c.m.Mount(t, m)
	content, err := v.Get("a")
	require.NoError(t, err)
	assert.Equal(t, "idle", content)
	require.NoError(t, v.Unmount())
}

func TestBackupAndRestore(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	d, err := c.open()
	require.NoError(t, err)
	var copied bytes.Buffer
	require.NoError(t, d.Backup(ctx, &copied))
	_, err = d.Prepare(ctx, "later", "base")
	require.NoError(t, err)
	require.NoError(t, d.Remove(ctx, "held"))
	require.NoError(t, d.Drain(ctx))
	_, err = snapshots.Restore(ctx, c.m.Config(), bytes.NewReader(copied.Bytes()))
	require.ErrorIs(t, err, snapshots.ErrLocked)
	require.NoError(t, d.Close())
	path := filepath.Join(c.m.Config().Root, "catalog.db")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, bad := range [][]byte{nil, []byte("no catalog"), copied.Bytes()[:copied.Len()/3]} {
		_, err = snapshots.Restore(ctx, c.m.Config(), bytes.NewReader(bad))
		require.Error(t, err)
		require.ErrorContains(t, err, "nothing was changed")
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(before, now))
		left, err := filepath.Glob(path + ".*")
		require.NoError(t, err)
		require.Empty(t, left)
	}
	findings, err := snapshots.Restore(ctx, c.m.Config(), bytes.NewReader(copied.Bytes()))
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	d = c.mustOpen()
	held, err := d.Stat(ctx, "held")
	require.NoError(t, err)
	assert.True(t, held.Lost)
	names := 0
	require.NoError(t, d.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Key, "recovered-") {
			names++
		}
		return nil
	}))
	assert.Equal(t, 1, names, "what was made since is adopted")
}

// A copy that was made while the pool was being made or destroyed would have it destroyed.
func TestACopyOfAHalfMadePoolIsRefused(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	path := filepath.Join(c.m.Config().Root, "catalog.db")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	c.catalog(func(cat *metadata.Catalog) {
		p, err := cat.Pool()
		require.NoError(t, err)
		p.State = metadata.Creating
		require.NoError(t, cat.SetPool(p))
	})
	copied, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	for range 2 {
		_, err = snapshots.Restore(ctx, c.m.Config(), bytes.NewReader(copied))
		require.ErrorIs(t, err, snapshots.ErrInvalid)
		require.ErrorContains(t, err, "nothing was changed")
		require.NoError(t, os.Rename(path, path+".kept"), "and where there is no catalog to compare it with")
		copiedAgain := bytes.NewReader(copied)
		_, err = snapshots.Restore(ctx, c.m.Config(), copiedAgain)
		require.ErrorIs(t, err, snapshots.ErrInvalid)
		require.NoError(t, os.Rename(path+".kept", path))
	}
	d := c.mustOpen()
	_, err = d.Stat(ctx, "base")
	require.NoError(t, err)
}

// A doctor who is not to mend anything changes nothing, whatever there is to be mended.
func TestAnExaminationChangesNothing(t *testing.T) {
	for _, r := range lifecycle.Rows() {
		if len(r.Actions) == 0 {
			continue
		}
		f, _ := storeWith(t, r.Observed)
		path := filepath.Join(f.m.Config().Root, "catalog.db")
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		devices := f.m.Kernel.Devices()
		_, err = snapshots.Examine(t.Context(), f.m.Config(), false)
		require.NoError(t, err, r)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(before, after), "%s: the catalog was changed", r)
		assert.ElementsMatch(t, devices, f.m.Kernel.Devices(), r)
	}
}

// Copies that are made while snapshots come and go: each is a whole catalog as of one
// moment, in which what was acknowledged before the copy began is acknowledged.
func TestCopiesOfAStoreInUse(t *testing.T) {
	ctx := t.Context()
	m := snapstest.NewFake(t)
	d, err := snapshots.CreatePool(ctx, m.Config(), m.Options())
	require.NoError(t, err)
	_, err = d.Prepare(ctx, "tmp", "")
	require.NoError(t, err)
	require.NoError(t, d.Commit(ctx, "base", "tmp"))
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for worker := range 3 {
		workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprint(worker, " ", n)
				_, err := d.Prepare(ctx, key, "base")
				assert.NoError(t, err)
				assert.NoError(t, d.Remove(ctx, key))
			}
		})
	}
	for n := range 20 {
		mine := fmt.Sprint("mine ", n)
		_, err := d.Prepare(ctx, mine, "base")
		require.NoError(t, err)
		var copied bytes.Buffer
		require.NoError(t, d.Backup(ctx, &copied))
		path := filepath.Join(t.TempDir(), "copy.db")
		require.NoError(t, os.WriteFile(path, copied.Bytes(), 0o600))
		c, err := metadata.Open(path, metadata.Options{MustExist: true})
		require.NoError(t, err)
		require.NoError(t, c.Check())
		thins, err := c.Thins()
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(thins, func(th metadata.Thin) bool { return th.Name == mine }), "it was acknowledged before")
		require.NoError(t, c.Close())
	}
	close(stop)
	workers.Wait()
	require.NoError(t, d.DestroyPool(ctx))
}

// What a killed restore leaves is in nobody's way.
func TestLeftoversOfAKilledRestore(t *testing.T) {
	ctx := t.Context()
	c := newCrashed(t)
	path := filepath.Join(c.m.Config().Root, "catalog.db")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, half := range [][]byte{whole, whole[:len(whole)/2], nil} {
		require.NoError(t, os.WriteFile(path+".restoring", half, 0o600))
		d, err := c.open()
		require.NoError(t, err)
		_, err = d.Stat(ctx, "base")
		require.NoError(t, err)
		require.NoError(t, d.Close())
		_, err = snapshots.Restore(ctx, c.m.Config(), bytes.NewReader(whole))
		require.NoError(t, err)
		require.NoFileExists(t, path+".restoring")
	}
	require.NoError(t, c.mustOpen().Drain(ctx))
}
