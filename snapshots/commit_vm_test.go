package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// committer is a store with one active snapshot, "work", that has a file.
type committer struct {
	*testing.T
	m *snapstest.Real
	d *snapshots.Driver
}

const writtenText = "acknowledged by fsync"

// eachFilesystem runs a test on a store of each kind.
func eachFilesystem(t *testing.T, test func(c *committer)) {
	t.Helper()
	requireVM(t)
	for _, name := range filesystem.Names() {
		t.Run(name, func(t *testing.T) {
			c := &committer{T: t, m: snapstest.NewReal(t, name)}
			var err error
			c.d, err = snapshots.CreatePool(t.Context(), c.m.Config(), c.m.Options())
			require.NoError(t, err)
			defer func() { require.NoError(t, c.d.DestroyPool(context.WithoutCancel(t.Context()))) }()
			layerOf(t, c.m, c.d, "base", "", "base", "content")
			_, err = c.d.Prepare(t.Context(), "work", "base")
			require.NoError(t, err)
			test(c)
		})
	}
}

func (c *committer) mounts(key string) snapshots.Mount {
	c.Helper()
	m, err := c.d.Mounts(c.Context(), key)
	require.NoError(c, err)
	return m
}

// cutPower leaves on the disk what a power cut does: a log that has a file, and a
// filesystem that was never unmounted.
func (c *committer) cutPower(m snapshots.Mount) {
	c.Helper()
	v := c.m.Mount(c, m)
	require.NoError(c, v.Put("file", writtenText))
	c.m.Crash(c, v)
	state, err := filesystem.Look(m.Source)
	require.NoError(c, err)
	require.True(c, state.NeedsReplay, "the log is dirty, or nothing is tested")
}

func (c *committer) visible(name string) {
	c.Helper()
	m, err := c.d.View(c.Context(), "look", name)
	require.NoError(c, err)
	assert.Contains(c, m.Options, "ro")
	tree, err := m.Open()
	require.NoError(c, err)
	content, err := os.ReadFile(tree.Path() + "/file")
	require.NoError(c, errors.Join(err, tree.Close()))
	assert.Equal(c, writtenText, string(content))
	require.NoError(c, c.d.Remove(c.Context(), "look"))
	require.NoError(c, c.d.Drain(c.Context()))
}

// It is mounted, and somebody writes all the time.
func TestCommitOfABusyOne(t *testing.T) {
	eachFilesystem(t, func(c *committer) {
		tree, err := c.mounts("work").Open()
		require.NoError(c, err)
		require.NoError(c, os.WriteFile(tree.Path()+"/file", []byte(writtenText), 0o600))
		begun, stop, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			for n := 0; ; n++ {
				err := os.WriteFile(tree.Path()+"/busy", bytes.Repeat([]byte{byte(n)}, 1<<20), 0o600)
				if n == 0 {
					close(begun)
				}
				select {
				case <-stop:
					ended <- err
					return
				default:
				}
			}
		}()
		<-begun
		require.NoError(c, c.d.Commit(c.Context(), "layer", "work"))
		c.visible("layer")
		close(stop)
		require.NoError(c, errors.Join(<-ended, tree.Close()))
		require.NoError(c, c.d.Drain(c.Context()))
	})
}

// A guest has made something else of its disk. The commit records what is there, and
// promises a mount of nothing that has no filesystem.
func TestCommitOfARawDevice(t *testing.T) {
	eachFilesystem(t, func(c *committer) {
		ctx := c.Context()
		m := c.mounts("work")
		disk, err := os.OpenFile(m.Source, os.O_RDWR, 0)
		require.NoError(c, err)
		table := make([]byte, 1<<20)
		copy(table[510:], "\x55\xaa")
		_, err = disk.WriteAt(table, 0)
		require.NoError(c, errors.Join(err, disk.Close()))
		require.NoError(c, c.d.Commit(ctx, "raw", "work"))
		info, err := c.d.Stat(ctx, "raw")
		require.NoError(c, err)
		assert.Empty(c, info.Filesystem)
		view, err := c.d.View(ctx, "look", "raw")
		require.NoError(c, err)
		_, err = view.Open()
		require.ErrorIs(c, err, class.Invalid)
		child, err := c.d.Prepare(ctx, "child", "raw", snapshots.WithSize(2*info.Size))
		require.NoError(c, err)
		got := make([]byte, len(table))
		disk, err = os.Open(child.Source)
		require.NoError(c, err)
		_, err = disk.ReadAt(got, 0)
		require.NoError(c, errors.Join(err, disk.Close()))
		assert.True(c, bytes.Equal(table, got))
		require.NoError(c, c.d.Resize(ctx, "child", 3*info.Size))
	})
}

func TestCommitOfAnotherFilesystem(t *testing.T) {
	eachFilesystem(t, func(c *committer) {
		ctx := c.Context()
		own := c.m.Options().Filesystem
		for _, name := range filesystem.Names() {
			if name == own {
				continue
			}
			kind, err := filesystem.ByName(name)
			require.NoError(c, err)
			m, err := c.d.Prepare(ctx, name, "base", snapshots.WithSize(max(64<<20, kind.LeastSize())))
			require.NoError(c, err)
			require.NoError(c, filesystem.Make(ctx, filesystem.Format{Filesystem: name, Device: m.Source}))
			m.Type, m.Options = name, kind.MountOptions(false)
			c.cutPower(m)
			require.NoError(c, c.d.Commit(ctx, "layer", name))
			c.visible("layer")
			child, err := c.d.Prepare(ctx, "child", "layer")
			require.NoError(c, err)
			assert.Equal(c, name, child.Type)
			require.NoError(c, c.d.Remove(ctx, "child"))
			require.NoError(c, c.d.Remove(ctx, "layer"))
		}
	})
}

// A log that cannot be replayed: the commit is refused, and the snapshot stays as it is.
func TestCommitOfADamagedLog(t *testing.T) {
	eachFilesystem(t, func(c *committer) {
		ctx := c.Context()
		m := c.mounts("work")
		c.cutPower(m)
		spoilLog(c, m)
		for _, hold := range []bool{false, true} {
			release := func() {}
			if hold {
				release = c.m.Hold(c, m)
			}
			err := c.d.Commit(ctx, "layer", "work")
			require.ErrorIs(c, err, class.Invalid)
			assert.ErrorContains(c, err, "cannot be replayed")
			release()
			_, err = c.d.Stat(ctx, "layer")
			require.ErrorIs(c, err, class.NotFound)
			info, err := c.d.Stat(ctx, "work")
			require.NoError(c, err)
			assert.Equal(c, snapshots.KindActive, info.Kind)
			require.NoError(c, c.d.Drain(ctx))
		}
	})
}

// spoilLog makes a log that no kernel replays.
func spoilLog(c *committer, m snapshots.Mount) {
	c.Helper()
	switch m.Type {
	case "ext4": // the inode of the journal is none
		out, err := exec.Command("debugfs", "-w", "-R", "clri <8>", m.Source).CombinedOutput()
		require.NoError(c, err, "%s", out)
	case "xfs":
		out, err := exec.Command("xfs_db", "-x", "-c", "sb 0", "-c", "write -d logblocks 3", m.Source).CombinedOutput()
		require.NoError(c, err, "%s", out)
	}
	state, err := filesystem.Look(m.Source)
	if err == nil {
		require.True(c, state.NeedsReplay)
	}
}
