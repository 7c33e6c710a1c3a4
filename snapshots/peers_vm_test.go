package snapshots_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/waittest"
)

// What other block snapshot drivers fail at, each reproduced on them, and what this
// one does instead.

func newReal(t *testing.T, change func(*snapshots.PoolOptions)) (*snapstest.Real, *snapshots.Driver) {
	t.Helper()
	requireVM(t)
	m := snapstest.NewReal(t, "ext4")
	o := m.Options()
	if change != nil {
		change(&o)
	}
	d, err := snapshots.CreatePool(t.Context(), m.Config(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		if err := d.DestroyPool(ctx); err != nil {
			require.ErrorIs(t, err, snapshots.ErrClosed)
			d, err := snapshots.Open(ctx, m.Config())
			require.NoError(t, err)
			require.NoError(t, d.DestroyPool(ctx))
		}
		assert.Empty(t, m.LeftOver(t))
	})
	return m, d
}

func layerOf(t *testing.T, m *snapstest.Real, d *snapshots.Driver, name, parent, file, content string) {
	t.Helper()
	mount, err := d.Prepare(t.Context(), name+"-work", parent)
	require.NoError(t, err)
	v := m.Mount(t, mount)
	require.NoError(t, v.Put(file, content))
	require.NoError(t, v.Unmount())
	require.NoError(t, d.Commit(t.Context(), name, name+"-work"))
}

const childEnv = "VENEER_TEST_STORE"

// hungMkfs never ends, as mkfs on a slow disk seems to.
type hungMkfs struct{ snapshots.Host }

func (hungMkfs) Format(ctx context.Context, _ filesystem.Format) error {
	fmt.Println("formatting")
	<-ctx.Done()
	return ctx.Err()
}

// TestChildThatIsKilled is the process that the test below kills.
func TestChildThatIsKilled(t *testing.T) {
	requireVM(t)
	root := os.Getenv(childEnv)
	if root == "" {
		return // nobody asked
	}
	_, err := snapshots.CreatePool(t.Context(), snapshots.Config{Root: root, Host: hungMkfs{}},
		snapshots.PoolOptions{Name: filepath.Base(root), DataSize: 1 << 30, BaseSize: 64 << 20})
	require.NoError(t, err)
}

// A node whose driver was killed during mkfs made no snapshot ever again.
func TestPeersKillDuringMkfs(t *testing.T) {
	requireVM(t)
	m := snapstest.NewReal(t, "ext4")
	root := m.Config().Root
	child := exec.Command(os.Args[0], "-test.run", "^TestChildThatIsKilled$")
	child.Env = append(os.Environ(), childEnv+"="+root)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	said := make([]byte, len("formatting"))
	_, err = out.Read(said)
	require.NoError(t, err)
	require.Equal(t, "formatting", string(said))
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.NotEmpty(t, m.LeftOver(t), "it died in the middle")

	_, err = snapshots.Open(t.Context(), m.Config())
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	assert.ErrorContains(t, err, "never finished")
	d, err := snapshots.CreatePool(t.Context(), m.Config(), m.Options())
	require.NoError(t, err, "what the dead process left is taken away")
	_, err = d.Prepare(t.Context(), "a", "")
	require.NoError(t, err)
	require.NoError(t, d.DestroyPool(t.Context()))
	assert.Empty(t, m.LeftOver(t))
}

// A device that was busy when it was removed was forgotten for ever.
func TestPeersBusyDeviceIsNotForgotten(t *testing.T) {
	m, d := newReal(t, nil)
	ctx := t.Context()
	mount, err := d.Prepare(ctx, "a", "")
	require.NoError(t, err)
	held := m.Mount(t, mount)
	require.NoError(t, d.Remove(ctx, "a"))
	require.NoError(t, d.Drain(ctx))
	require.NoError(t, d.Close())
	d2, err := snapshots.Open(ctx, m.Config())
	require.NoError(t, err)
	info, err := d2.Pool(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, info.Trash, "still known after a restart")
	require.NoError(t, held.Put("x", "the holder goes on"))
	require.NoError(t, held.Unmount())
	require.NoError(t, d2.Drain(ctx))
	info, err = d2.Pool(ctx)
	require.NoError(t, err)
	assert.Zero(t, info.Trash)
	require.NoError(t, d2.Close())
}

// The space of a removed layer never came back to the file below the pool.
func TestPeersSpaceOfALayerComesBack(t *testing.T) {
	m, d := newReal(t, func(o *snapshots.PoolOptions) { o.BaseSize = 256 << 20 })
	_, data := m.PoolFiles()
	stored := func() int64 {
		var st syscall.Stat_t
		require.NoError(t, syscall.Stat(data, &st))
		return st.Blocks * 512
	}
	before := stored()
	layerOf(t, m, d, "layer", "", "big", strings.Repeat("0123456789abcdef", 4<<20))
	require.Greater(t, stored(), before+60<<20)
	require.NoError(t, d.Remove(t.Context(), "layer"))
	require.NoError(t, d.Drain(t.Context()))
	assert.Less(t, stored(), before+4<<20)
}

// A smaller base size made every child unmountable, a larger one changed nothing.
func TestPeersSizesOfChildren(t *testing.T) {
	m, d := newReal(t, nil)
	ctx := t.Context()
	layerOf(t, m, d, "base", "", "a", "x")
	for key, size := range map[string]uint64{"smaller": 16 << 20, "larger": 512 << 20} {
		mount, err := d.Prepare(ctx, key, "base", snapshots.WithSize(size))
		require.NoError(t, err)
		v := m.Mount(t, mount)
		content, err := v.Get("a")
		require.NoError(t, err)
		assert.Equal(t, "x", content)
		if key == "larger" {
			assert.Greater(t, v.Size(), uint64(400<<20))
		}
		require.NoError(t, v.Unmount())
	}
}

// A process that died between suspend and resume left the device hanging for ever.
func TestPeersSuspendedDeviceIsResumed(t *testing.T) {
	m, d := newReal(t, nil)
	ctx := t.Context()
	mount, err := d.Prepare(ctx, "a", "")
	require.NoError(t, err)
	require.NoError(t, d.Close())
	dm, err := devmapper.Open()
	require.NoError(t, err)
	name, err := devmapper.NewName(filepath.Base(mount.Source))
	require.NoError(t, err)
	require.NoError(t, dm.Suspend(devmapper.ByName(name), 0))
	require.NoError(t, dm.Close())
	d2, err := snapshots.Open(ctx, m.Config())
	require.NoError(t, err)
	v := m.Mount(t, mount)
	require.NoError(t, v.Put("a", "writes again"))
	require.NoError(t, v.Unmount())
	require.NoError(t, d2.Close())
}

// Blocks that were overwritten in place counted as nothing.
func TestPeersUsageOfOverwrittenBlocks(t *testing.T) {
	m, d := newReal(t, nil)
	ctx := t.Context()
	big := bytes.Repeat([]byte("0123456789abcdef"), 512<<10) // 8 MiB
	layerOf(t, m, d, "base", "", "big", string(big))
	mount, err := d.Prepare(ctx, "child", "base")
	require.NoError(t, err)
	tree, err := mount.Open()
	require.NoError(t, err)
	f, err := os.OpenFile(tree.Path()+"/big", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write(bytes.ToUpper(big))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, tree.Close())
	u, err := d.Usage(ctx, "child")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, u.Added, uint64(8<<20))
	assert.Less(t, u.Added, uint64(10<<20))
}

// A removal, which would have made room, waited behind a full pool.
func TestPeersRemovalBehindAFullPool(t *testing.T) {
	m, d := newReal(t, func(o *snapshots.PoolOptions) {
		o.DataSize, o.BaseSize, o.QueueWhenFull = 192<<20, 256<<20, true
	})
	snapstest.QueueForever(t)
	ctx := t.Context()
	layerOf(t, m, d, "victim", "", "big", strings.Repeat("v", 96<<20))
	mount, err := d.Prepare(ctx, "writer", "")
	require.NoError(t, err)
	tree, err := mount.Open()
	require.NoError(t, err)
	wrote := make(chan error, 1)
	go func() {
		f, err := os.Create(tree.Path() + "/big")
		if err == nil {
			if _, err = f.Write(bytes.Repeat([]byte("w"), 140<<20)); err == nil {
				err = f.Sync() // waits for room
			}
			_ = f.Close()
		}
		wrote <- err
	}()
	full := func() bool {
		info, err := d.Pool(ctx)
		require.NoError(t, err)
		return strings.Contains(fmt.Sprint(info.Status), "out_of_data_space")
	}
	waittest.Until(t, "the pool fills up", full)
	began := time.Now()
	require.NoError(t, d.Remove(ctx, "victim"))
	t.Logf("removal answered after %v while a writer waited for room", time.Since(began))
	require.NoError(t, d.Drain(ctx))
	require.NoError(t, <-wrote, "the writer got the room")
	require.NoError(t, tree.Close())
}

// countingMkfs counts how often a filesystem is made.
type countingMkfs struct {
	snapshots.Host
	made *atomic.Int32
}

func (c countingMkfs) Format(ctx context.Context, f filesystem.Format) error {
	c.made.Add(1)
	return c.Host.Format(ctx, f)
}

// Every layer without a parent cost a mkfs and 229 MiB.
func TestPeersOneMkfsForAllLayers(t *testing.T) {
	requireVM(t)
	m := snapstest.NewReal(t, "ext4")
	var made atomic.Int32
	c := m.Config()
	c.Host = countingMkfs{snapshots.Machine(), &made}
	o := m.Options()
	o.BaseSize = 10 << 30
	d, err := snapshots.CreatePool(t.Context(), c, o)
	require.NoError(t, err)
	for i := range 5 {
		_, err := d.Prepare(t.Context(), fmt.Sprint("base", i), "")
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, made.Load())
	u, err := d.Usage(t.Context(), "base0")
	require.NoError(t, err)
	assert.Zero(t, u.Added)
	assert.Less(t, u.Mapped, uint64(16<<20), "of 10 GiB")
	require.NoError(t, d.DestroyPool(t.Context()))
}
