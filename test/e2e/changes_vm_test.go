package e2e_test

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// capability is the extended attribute of a program that may bind low ports
// (struct vfs_cap_data, include/uapi/linux/capability.h).
func capability() string {
	const revision2, effective, netBindService = 0x02000000, 1, 1 << 10
	b := binary.LittleEndian.AppendUint32(nil, revision2|effective)
	b = binary.LittleEndian.AppendUint32(b, netBindService)
	return string(append(b, make([]byte, 12)...))
}

// twoLayers hold one of everything that a change can meet.
func twoLayers() (lower, upper []entry) {
	owned := file("home/ann/notes", "notes of ann\n").with(map[string]string{"user.origin": "image"})
	owned.Uid, owned.Gid, owned.Mode = 1000, 1001, 0o600
	program := noise("bin/serve", 300*kib, 3).with(map[string]string{"security.capability": capability()})
	program.Mode = 0o755
	setuid := file("bin/become", "#!/bin/sh\n")
	setuid.Mode = 0o4755
	pipe := entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "run/pipe", Mode: 0o620}}
	null := entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}}
	lower = []entry{
		folder("./"), folder("bin"), program, setuid, hardlink("bin/serve-too", "bin/serve"), symlink("bin/sh", "serve"),
		folder("home"), folder("home/ann"), owned, folder("run"), pipe, folder("dev"), null,
		folder("etc"), file("etc/config", "a=1\n"), file("etc/hosts", "127.0.0.1 localhost\n"), file("etc/ünïcode name", "x"),
		folder("srv"), folder("srv/data"), noise("srv/data/large", 4*mib, 4), file("srv/data/small", "small"), folder("srv/data/deep"), file("srv/data/deep/er", "deep"),
		folder("cache"), file("cache/one", "1"), folder("cache/sub"), file("cache/sub/two", "2"),
		file("becomes-folder", "file"), folder("becomes-file"), file("becomes-file/inside", "inside"), folder("empty"),
	}
	upper = []entry{file("etc/hosts", "127.0.0.1 localhost box\n"), folder("opt"), noise("opt/tool", 100*kib, 5), file("cache/three", "3")}
	return lower, upper
}

// change does to a container's tree all that people do to one.
func change(t *testing.T, root string) {
	t.Helper()
	must := func(errs ...error) {
		t.Helper()
		require.NoError(t, errors.Join(errs...))
	}
	in := func(name string) string { return filepath.Join(root, name) }
	edit := func(name string, flag int, do func(f *os.File) error) {
		t.Helper()
		f, err := os.OpenFile(in(name), os.O_WRONLY|flag, 0o640)
		must(err)
		must(do(f), f.Sync(), f.Close())
	}
	write := func(content string) func(*os.File) error {
		return func(f *os.File) error { _, err := f.WriteString(content); return err }
	}
	edit("etc/written", os.O_CREATE|os.O_EXCL, write("new\n"))
	edit("etc/config", os.O_TRUNC, write("a=2\nb=3\n"))
	edit("etc/hosts", os.O_APPEND, write("10.0.0.1 other\n"))
	edit("srv/data/large", 0, func(f *os.File) error { _, err := f.WriteAt([]byte("in the middle"), 2*mib+17); return err })
	edit("srv/sparse", os.O_CREATE, func(f *os.File) error { _, err := f.WriteAt([]byte("after a hole"), 3*mib); return err })

	must(os.Remove(in("etc/ünïcode name")), os.Remove(in("run/pipe")), os.Remove(in("empty")))
	must(os.RemoveAll(in("home/ann")), os.Remove(in("cache/three")))
	must(os.RemoveAll(in("cache/sub")), os.Mkdir(in("cache/sub"), 0o700), os.WriteFile(in("cache/sub/fresh"), []byte("fresh"), 0o600))
	must(os.Remove(in("becomes-folder")), os.Mkdir(in("becomes-folder"), 0o755), os.WriteFile(in("becomes-folder/now"), nil, 0o644))
	must(os.RemoveAll(in("becomes-file")), os.WriteFile(in("becomes-file"), []byte("a file"), 0o644))

	must(os.Rename(in("srv/data"), in("srv/moved")))
	must(os.Chmod(in("bin/become"), 0o755|os.ModeSetgid), os.Lchown(in("bin/sh"), 5, 6), os.Chown(in("opt"), 7, 8))
	must(os.Link(in("opt/tool"), in("opt/tool-too")), os.Link(in("etc/written"), in("bin/written")))
	must(os.Remove(in("bin/serve-too")), os.Symlink("../opt/tool", in("bin/tool")))
	must(unix.Setxattr(in("opt/tool"), "user.added", []byte{0, 1, 2}, 0), unix.Setxattr(in("opt"), "user.folder", []byte("f"), 0))
	must(unix.Mknod(in("dev/zero"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
	must(os.Chtimes(in("opt/tool"), birthday, birthday))
}

// A container is changed in every way there is. Nobody else sees it, and its
// image is the same tree wherever it goes.
func TestChangesStayInTheContainerUntilTheyAreCommitted(t *testing.T) {
	eachFilesystem(t, func(t *testing.T, filesystem string) {
		ctx := t.Context()
		s := newStore(t, filesystem, nil)
		lower, upper := twoLayers()
		image := s.bring(t, "example.com/app:1", on(t, scratchImage(t), small(t, lower...), small(t, upper...)))
		sibling := s.container(t, "sibling", image.Top())
		box := s.container(t, "box", image.Top())
		was := describe(t, box.Path())
		parents := [][]string{s.look(t, image.Layers[0].ChainID.String()), s.look(t, image.Top())}
		sameLines(t, was, parents[1], "the image")
		sameLines(t, was, describe(t, sibling.Path()), "a sibling")

		change(t, box.Path())
		now := describe(t, box.Path())
		assert.NotEqual(t, was, now)

		sameLines(t, was, describe(t, sibling.Path()), "a sibling that is mounted")
		sameLines(t, parents[0], s.look(t, image.Layers[0].ChainID.String()), "a layer below")
		sameLines(t, parents[1], s.look(t, image.Top()), "a layer below")
		late := s.container(t, "late", image.Top())
		sameLines(t, was, describe(t, late.Path()), "a container that is made afterwards")
		require.NoError(t, errors.Join(late.Close(), sibling.Close()))

		made, err := s.images.Commit(ctx, "box", "example.com/app:2", images.CommitOptions{})
		require.NoError(t, err)
		require.NoError(t, box.Close())
		sameLines(t, now, s.look(t, made.Top()), "the new image is the container's tree")
		sameLines(t, parents[1], s.look(t, image.Top()), "a layer below")

		saved := filepath.Join(t.TempDir(), "saved")
		require.NoError(t, s.images.SaveDir(ctx, saved, made.Name))
		checkNames(t, saved)
		archive := filepath.Join(t.TempDir(), "saved.tar")
		f, err := os.Create(archive)
		require.NoError(t, err)
		require.NoError(t, s.images.SaveArchive(ctx, f, images.FromDockerArchive, made.Name))
		require.NoError(t, f.Close())

		// Elsewhere is another pool, and another filesystem.
		other := map[string]string{"ext4": "xfs", "xfs": "ext4"}[filesystem]
		for _, source := range []string{"oci:" + saved, "docker-archive:" + archive} {
			elsewhere := newStore(t, other, nil)
			there, err := elsewhere.images.Import(ctx, source, images.ImportOptions{})
			require.NoError(t, err)
			assert.Equal(t, made.Top(), there.Top())
			sameLines(t, now, elsewhere.look(t, there.Top()), source+" on "+other)
			sameLines(t, parents[1], elsewhere.look(t, there.Layers[1].ChainID.String()), source+" on "+other+", the image below")
		}
		assert.Contains(t, strings.Join(now, "\n"), "security.capability=")
		assert.Contains(t, strings.Join(now, "\n"), "user.added=000102")
		assert.NotContains(t, strings.Join(now, "\n"), ".wh.")
	})
}

// checkNames looks at the saved image as another program does: what was deleted is
// in the top layer as whiteouts, and what did not change is not in it.
func checkNames(t *testing.T, dir string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	img, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 3)
	r, err := layers[2].Uncompressed()
	require.NoError(t, err)
	defer r.Close()
	var names []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		names = append(names, strings.Trim(h.Name, "./"))
	}
	for _, gone := range []string{"etc/.wh.ünïcode name", "run/.wh.pipe", ".wh.empty", "home/.wh.ann", "cache/.wh.three", "bin/.wh.serve-too", "srv/.wh.data"} {
		assert.True(t, slices.ContainsFunc(names, func(name string) bool { return strings.Trim(gone, "./") == name }), "%s is not in %v", gone, names)
	}
	for _, name := range []string{"cache/one", "dev/null", "cache/three", "opt/.wh.tool"} {
		assert.NotContains(t, names, name)
	}
}

// A folder of a lower layer can be renamed, as on any filesystem. overlayfs, as
// container engines mount it, refuses: it would have to copy the folder.
func TestAFolderOfALowerLayerCanBeRenamed(t *testing.T) {
	eachFilesystem(t, func(t *testing.T, filesystem string) {
		s := newStore(t, filesystem, nil)
		lower, upper := twoLayers()
		image := s.bring(t, "example.com/app:1", on(t, scratchImage(t), small(t, lower...), small(t, upper...)))
		box := s.container(t, "box", image.Top())
		large, err := sumOf(at(box, "srv/data/large"))
		require.NoError(t, err)
		before := s.added(t, "box", box)
		require.NoError(t, os.Rename(at(box, "srv/data"), at(box, "opt/data")))
		cost := s.added(t, "box", box) - before
		moved, err := sumOf(at(box, "opt/data/large"))
		require.NoError(t, err)
		assert.Equal(t, large, moved)
		assert.NoDirExists(t, at(box, "srv/data"))
		require.NoError(t, box.Close())
		t.Logf("the rename of a folder with %d bytes in it costs %d bytes", 4*mib, cost)
		assert.Less(t, cost, int64(mib), "and nothing is copied for it")

		m, err := s.View(t.Context(), "lower", image.Top())
		require.NoError(t, err)
		merged := stack(t, m)
		err = os.Rename(filepath.Join(merged, "srv/data"), filepath.Join(merged, "opt/data"))
		assert.ErrorIs(t, err, unix.EXDEV)
	})
}

// added is what a mounted container has of its own, once all of it has reached the pool.
func (s *store) added(t *testing.T, key string, tree *filesystem.Tree) int64 {
	t.Helper()
	require.NoError(t, unix.Syncfs(tree.FD()))
	usage, err := s.Usage(t.Context(), key)
	require.NoError(t, err)
	return int64(usage.Added)
}

// stack mounts an overlayfs over a snapshot until the test ends.
func stack(t *testing.T, m snapshots.Mount) (merged string) {
	t.Helper()
	dir := t.TempDir()
	sub := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		require.NoError(t, os.Mkdir(sub(name), 0o755))
	}
	require.NoError(t, m.At(sub("lower")))
	t.Cleanup(func() { assert.NoError(t, filesystem.Unmount(sub("lower"))) })
	options := "redirect_dir=off,lowerdir=" + sub("lower") + ",upperdir=" + sub("upper") + ",workdir=" + sub("work")
	require.NoError(t, unix.Mount("overlay", sub("merged"), "overlay", 0, options))
	t.Cleanup(func() { assert.NoError(t, filesystem.Unmount(sub("merged"))) })
	return sub("merged")
}
