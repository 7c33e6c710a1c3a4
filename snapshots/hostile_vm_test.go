package snapshots_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
	"github.com/veneerdm/veneer/test/waittest"
)

// What a guest with the raw device can leave on it: filesystems with damage in every
// structure, whose superblock asks the kernel to panic at the first error. The driver
// mounts them itself to grow them and to replay their logs. It answers, the machine
// lives, and the snapshot can be removed.
func TestHostileFilesystems(t *testing.T) {
	m, d := newReal(t, nil)
	ctx := t.Context()
	row, end := resulttest.Begin(t, "hostile filesystem", 3)
	defer end()
	layerOf(t, m, d, "base", "", "a", "content")
	r := rand.New(rand.NewPCG(3, 3))
	refused := 0
	for n := range 40 {
		key := fmt.Sprint("hostile", n)
		mount, err := d.Prepare(ctx, key, "base")
		require.NoError(t, err)
		if out, err := exec.Command("tune2fs", "-e", "panic", mount.Source).CombinedOutput(); err != nil {
			require.NoError(t, err, "%s", out)
		}
		spoil(t, r, mount.Source, n)
		require.NoError(t, waittest.Ends(func() error {
			if err := use(mount); err != nil {
				refused++
			}
			_ = d.Resize(ctx, key, 80<<20)              // refused, or not
			_, _ = d.Clone(ctx, key+" twin", key)       // likewise
			_ = d.Commit(ctx, key+" done", key+" twin") // likewise
			return nil
		}))
		for _, left := range []string{key, key + " twin", key + " done"} {
			if _, err := d.Stat(ctx, left); err == nil {
				require.NoError(t, d.Remove(ctx, left))
			}
		}
		row.Points++
	}
	require.NoError(t, d.Drain(ctx))
	i, err := d.Pool(ctx)
	require.NoError(t, err)
	require.Zero(t, i.Trash)
	_, err = d.Check(ctx)
	require.NoError(t, err)
	t.Logf("%d of %d filesystems were refused or failed", refused, row.Points)
}

// spoil writes random bytes into the structures of an ext4 filesystem: descriptors,
// bitmaps, inodes, the journal and directories are all in its first megabytes.
func spoil(t *testing.T, r *rand.Rand, device string, n int) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_WRONLY|os.O_SYNC, 0)
	require.NoError(t, err)
	for range 1 + n*4 {
		b := make([]byte, 1+r.IntN(64))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		at := int64(r.IntN(8 << 20))
		if n%2 == 0 {
			at = int64(2048 + r.IntN(1<<20))
		}
		_, err := f.WriteAt(b, at)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
}

// use does with a filesystem what a container's start does.
func use(m snapshots.Mount) error {
	tree, err := m.Open()
	if err != nil {
		return err
	}
	seen := 0
	walk := filepath.WalkDir(tree.Path()+"/.", func(path string, e fs.DirEntry, err error) error {
		if seen++; seen > 1000 || err != nil {
			return fs.SkipAll
		}
		return nil
	})
	write := os.WriteFile(tree.Path()+"/new", make([]byte, 256<<10), 0o600)
	if err := tree.Close(); err != nil {
		return err
	}
	if walk != nil {
		return walk
	}
	return write
}
