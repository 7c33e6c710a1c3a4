package images_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/waittest"
)

var (
	_ images.Snapshots = (*snapshots.Driver)(nil)
	_ images.Tree      = (*filesystem.Tree)(nil)
)

func onTheKernel(t *testing.T, test func(t *testing.T, s *images.Store, d *snapshots.Driver)) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			real := snapstest.NewReal(t, filesystem)
			d, err := snapshots.CreatePool(t.Context(), real.Config(), real.Options())
			require.NoError(t, err)
			defer func() { // what was just removed may still be open, to be discarded
				waittest.Succeeds(t, "destroy the pool", func() error { return d.DestroyPool(context.Background()) })
			}()
			s, err := images.Open(images.Config{Root: t.TempDir(), Snapshots: d})
			require.NoError(t, err)
			test(t, s, d)
		})
	}
}

// look mounts a view of a committed snapshot and describes its tree.
func look(t *testing.T, d *snapshots.Driver, key string) []string {
	t.Helper()
	m, err := d.View(t.Context(), "look", key)
	require.NoError(t, err)
	tree, err := m.Open()
	require.NoError(t, err)
	lines := Describe(t, tree.Path())
	require.NoError(t, tree.Close())
	require.NoError(t, d.Remove(t.Context(), "look"))
	return lines
}

// A container at work, mounted, is committed, and what it holds is found again in
// the new image, here and where it is imported next.
func TestCommitOfALiveContainerOnTheKernel(t *testing.T) {
	onTheKernel(t, func(t *testing.T, s *images.Store, d *snapshots.Driver) {
		ctx := t.Context()
		web, lang := twoImages(t)
		dir := layout(t, t.TempDir(), web, lang)
		r, err := s.Import(ctx, "oci:"+dir+":"+web.name, images.ImportOptions{})
		require.NoError(t, err)
		_, err = s.Import(ctx, "oci:"+dir+":"+lang.name, images.ImportOptions{})
		require.NoError(t, err)
		before := look(t, d, r.Top())
		for _, line := range before {
			assert.NotContains(t, line, "lost+found")
		}

		m, err := d.Prepare(ctx, "box", r.Top())
		require.NoError(t, err)
		box, err := m.Open()
		require.NoError(t, err)
		changes, err := s.Changes(ctx, "box")
		require.NoError(t, err)
		assert.Empty(t, changes, "a new container has changed nothing")

		root := box.Path()
		require.NoError(t, os.WriteFile(root+"/new", []byte("new"), 0o600))
		require.NoError(t, os.Rename(root+"/lib", root+"/lib.moved"))
		require.NoError(t, os.Chtimes(root+"/bin/sh", Epoch, Epoch)) // same metadata, other ctime
		f, err := os.OpenFile(root+"/bin/web", os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("W"), 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, os.Chtimes(root+"/bin/web", Epoch, Epoch)) // and other content
		changes, err = s.Changes(ctx, "box")
		require.NoError(t, err)
		var list []string
		for _, c := range changes {
			list = append(list, string(c.Kind)+" /"+c.Path)
		}
		assert.Equal(t, []string{"C /", "C /bin", "C /bin/web", "D /lib", "A /lib.moved", "A /lib.moved/libc", "A /new"}, list)

		committed, err := s.Commit(ctx, "box", "example.com/box:1", images.CommitOptions{})
		require.NoError(t, err)
		want := Describe(t, root)
		assert.Equal(t, want, look(t, d, committed.Top()))
		assert.Equal(t, before, look(t, d, r.Top()), "the image is unchanged")
		require.NoError(t, box.Close())

		saved := filepath.Join(t.TempDir(), "saved")
		require.NoError(t, s.SaveDir(ctx, saved, committed.Name))
		require.NoError(t, d.Remove(ctx, "box"))
		for _, name := range []string{committed.Name, web.name, lang.name} {
			_, err = s.Remove(ctx, name, images.RemoveOptions{})
			require.NoError(t, err, name)
		}
		require.NoError(t, d.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			return fmt.Errorf("%s is left", info.Key)
		}))
		again, err := s.Import(ctx, saved, images.ImportOptions{})
		require.NoError(t, err)
		assert.Equal(t, committed.Top(), again.Top())
		assert.Equal(t, want, look(t, d, again.Top()))
		_, err = s.Remove(ctx, again.Name, images.RemoveOptions{})
		require.NoError(t, err)
	})
}

// A layer that does not fit is an error, and everything of the image goes. With a
// larger disk it fits.
func TestLayerLargerThanTheFilesystemOnTheKernel(t *testing.T) {
	onTheKernel(t, func(t *testing.T, s *images.Store, d *snapshots.Driver) {
		large := build(t, "example.com/large:1", gz(t, Tar(t, File("a", "a"))), gz(t, Tar(t, File("large", strings.Repeat("large", 80<<20)))))
		source := layout(t, t.TempDir(), large)
		_, err := s.Import(t.Context(), source, images.ImportOptions{})
		require.ErrorContains(t, err, "no space left")
		require.ErrorIs(t, err, images.ErrTooLarge)
		require.NoError(t, d.Walk(t.Context(), func(_ context.Context, info snapshots.Info) error {
			return fmt.Errorf("%s is left", info.Key)
		}))
		r, err := s.Import(t.Context(), source, images.ImportOptions{Snapshot: []snapshots.Option{snapshots.WithSize(1 << 30)}})
		require.NoError(t, err)
		_, err = s.Remove(t.Context(), r.Name, images.RemoveOptions{})
		require.NoError(t, err)
	})
}
