package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
)

// copyTree copies everything of a tree, hard links and attributes included.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	require.NoError(t, err, string(out))
	return to
}

func diff(t *testing.T, lower, upper string) ([]byte, []string) {
	t.Helper()
	var buf bytes.Buffer
	changes, err := layer.Diff(t.Context(), Open(t, lower), Open(t, upper), &buf, layer.DiffOptions{})
	require.NoError(t, err)
	list := []string{}
	for _, c := range changes {
		list = append(list, string(c.Kind)+" /"+c.Path)
	}
	return buf.Bytes(), list
}

// baseTree is a tree with one of everything.
func baseTree(t *testing.T) string {
	t.Helper()
	caps := File("bin/ping", "ping")
	caps.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "2"}
	return apply(t, Tar(t,
		Folder("./"), Folder("bin"), caps, File("bin/tool", strings.Repeat("tool", 1000)), Symlink("bin/sh", "tool"),
		Folder("dir"), File("dir/one", "1"), File("dir/two", "2"), Folder("dir/sub"), File("dir/sub/three", "3"),
		File("h/a", "linked"), Link("h/b", "h/a"), Link("h/c", "h/a"), File("h/x", "linked"), Link("h/y", "h/x"), File("h/lone", "linked"),
		Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}},
		Entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "dev/fifo", Mode: 0o600}},
		Folder("empty"), File("big", strings.Repeat("b", 3<<20)),
	))
}

func TestDiffRoundTrip(t *testing.T) {
	needRoot(t)
	type edit func(dir string) error
	tests := map[string]struct {
		edit edit
		want []string // nil: not looked at
	}{
		"nothing": {func(string) error { return nil }, []string{}},
		"write": {func(d string) error { return errors.Join(os.WriteFile(d+"/dir/new", []byte("n"), 0o640)) },
			[]string{"C /dir", "A /dir/new"}},
		"overwrite": {func(d string) error { return errors.Join(os.WriteFile(d+"/dir/one", []byte("other"), 0o644)) },
			[]string{"C /dir", "C /dir/one"}},
		"overwrite with equal metadata": {func(d string) error {
			return errors.Join(os.WriteFile(d+"/dir/one", []byte("9"), 0o644), os.Chtimes(d+"/dir/one", Epoch, Epoch))
		}, []string{"C /dir", "C /dir/one"}},
		"append": {func(d string) error {
			f, err := os.OpenFile(d+"/big", os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		}, []string{"C /big"}},
		"delete": {func(d string) error { return errors.Join(os.Remove(d + "/dir/one")) },
			[]string{"C /dir", "D /dir/one"}},
		"delete directory": {func(d string) error { return errors.Join(os.RemoveAll(d + "/dir")) },
			[]string{"C /", "D /dir"}},
		"delete and recreate directory": {func(d string) error {
			return errors.Join(os.RemoveAll(d+"/dir"), os.Mkdir(d+"/dir", 0o700), os.WriteFile(d+"/dir/two", []byte("new"), 0o600))
		}, []string{"C /", "C /dir", "D /dir/one", "D /dir/sub", "C /dir/two"}},
		"rename directory": {func(d string) error { return errors.Join(os.Rename(d+"/dir", d+"/moved")) },
			[]string{"C /", "D /dir", "A /moved", "A /moved/one", "A /moved/sub", "A /moved/sub/three", "A /moved/two"}},
		"chmod, chown": {func(d string) error {
			return errors.Join(os.Chmod(d+"/bin/tool", 0o4711|os.ModeSetuid), os.Lchown(d+"/bin/sh", 12, 13), os.Chmod(d+"/empty", 0o1777|os.ModeSticky))
		}, []string{"C /bin", "C /bin/sh", "C /bin/tool", "C /empty"}},
		"hard link to an old file": {func(d string) error { return errors.Join(os.Link(d+"/dir/one", d+"/dir/three")) },
			[]string{"C /dir", "C /dir/one", "A /dir/three"}},
		"one more name of three": {func(d string) error { return errors.Join(os.Link(d+"/h/b", d+"/dir/d")) },
			[]string{"C /dir", "A /dir/d", "C /h", "C /h/a", "C /h/b", "C /h/c"}},
		"one name less": {func(d string) error { return errors.Join(os.Remove(d + "/h/b")) },
			[]string{"C /h", "C /h/a", "D /h/b", "C /h/c"}},
		"names swapped between equal files": {func(d string) error {
			return errors.Join(os.Remove(d+"/h/y"), os.Link(d+"/h/a", d+"/h/y"), os.Remove(d+"/h/b"), os.Link(d+"/h/x", d+"/h/b"), os.Chtimes(d+"/h", Epoch, Epoch))
		}, []string{"C /h", "C /h/a", "C /h/b", "C /h/c", "C /h/x", "C /h/y"}},
		"link broken": {func(d string) error {
			return errors.Join(os.Remove(d+"/h/c"), os.WriteFile(d+"/h/c", []byte("linked"), 0o644), os.Chtimes(d+"/h/c", Epoch, Epoch))
		}, []string{"C /h", "C /h/a", "C /h/b", "C /h/c"}},
		"write through one name": {func(d string) error { return errors.Join(os.WriteFile(d+"/h/b", []byte("changed"), 0o644)) },
			[]string{"C /h", "C /h/a", "C /h/b", "C /h/c"}},
		"hard-linked symlink and device": {func(d string) error {
			return errors.Join(os.Link(d+"/bin/sh", d+"/bin/bash"), os.Link(d+"/dev/null", d+"/dev/nil"))
		}, nil},
		"xattr added, changed, removed": {func(d string) error {
			return errors.Join(syscall.Setxattr(d+"/bin/ping", "user.a", []byte("9\x00="), 0), syscall.Removexattr(d+"/bin/ping", "user.b"),
				syscall.Setxattr(d+"/empty", "user.new", []byte{}, 0))
		}, []string{"C /bin", "C /bin/ping", "C /empty"}},
		"directory xattr removed again": {func(d string) error {
			return errors.Join(syscall.Setxattr(d+"/dir", "trusted.x", []byte("y"), 0), syscall.Removexattr(d+"/dir", "trusted.x"))
		}, []string{}},
		"file becomes directory": {func(d string) error {
			return errors.Join(os.Remove(d+"/big"), os.Mkdir(d+"/big", 0o755), os.WriteFile(d+"/big/x", nil, 0o600))
		}, []string{"C /", "C /big", "A /big/x"}},
		"directory becomes file": {func(d string) error { return errors.Join(os.RemoveAll(d+"/dir"), os.WriteFile(d+"/dir", nil, 0o600)) },
			[]string{"C /", "C /dir"}},
		"directory becomes symlink": {func(d string) error { return errors.Join(os.RemoveAll(d+"/dir"), os.Symlink("bin", d+"/dir")) },
			[]string{"C /", "C /dir"}},
		"symlink retargeted": {func(d string) error { return errors.Join(os.Remove(d+"/bin/sh"), os.Symlink("ping", d+"/bin/sh")) }, nil},
		"other device": {func(d string) error {
			return errors.Join(os.Remove(d+"/dev/null"), syscall.Mknod(d+"/dev/null", syscall.S_IFCHR|0o666, 1<<8|5))
		}, nil},
		"sparse and odd names": {func(d string) error {
			return errors.Join(os.WriteFile(d+"/new\nline \xff "+strings.Repeat("n", 200), nil, 0o600), os.Truncate(d+"/big", 64<<20),
				os.WriteFile(d+"/"+strings.Repeat("m", 255), nil, 0o600), os.Chtimes(d+"/dir/two", time.Time{}, time.Unix(-5, 7)))
		}, nil},
	}
	lower := baseTree(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			upper := copyTree(t, lower)
			require.NoError(t, test.edit(upper))
			tarball, changes := diff(t, lower, upper)
			if test.want != nil {
				assert.Equal(t, test.want, changes)
			}
			elsewhere := copyTree(t, lower)
			_, err := layer.Apply(t.Context(), Open(t, elsewhere), bytes.NewReader(tarball), layer.ApplyOptions{})
			require.NoError(t, err)
			assert.Equal(t, Describe(t, upper), Describe(t, elsewhere))
			again, _ := diff(t, lower, upper)
			assert.Equal(t, tarball, again, "the same trees give the same bytes")
			_, none := diff(t, upper, elsewhere)
			assert.Empty(t, none)
		})
	}
}

// A long random history of edits, with a check after each handful.
func TestDiffRoundTripOfRandomEdits(t *testing.T) {
	needRoot(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	lower := baseTree(t)
	for round := range 12 {
		upper := copyTree(t, lower)
		for range 15 {
			randomEdit(rng, upper)
		}
		tarball, changes := diff(t, lower, upper)
		elsewhere := copyTree(t, lower)
		_, err := layer.Apply(t.Context(), Open(t, elsewhere), bytes.NewReader(tarball), layer.ApplyOptions{})
		require.NoError(t, err)
		require.Equal(t, Describe(t, upper), Describe(t, elsewhere), "round %d: %v", round, changes)
		lower = upper
	}
}

// randomEdit does something to the tree; what fails, fails.
func randomEdit(rng *rand.Rand, root string) {
	var all, dirs []string
	_ = filepath.Walk(root, func(path string, info os.FileInfo, _ error) error {
		if all = append(all, path); info != nil && info.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	pick := all[1+rng.IntN(len(all)-1)]
	fresh := filepath.Join(dirs[rng.IntN(len(dirs))], fmt.Sprintf("n%d", rng.IntN(40)))
	switch rng.IntN(12) {
	case 0, 1:
		// A fifo that is called so would wait for a reader.
		if f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o644); err == nil {
			_, _ = fmt.Fprint(f, rng.IntN(3))
			_ = f.Close()
		}
	case 2:
		_ = os.Mkdir(fresh, os.FileMode(rng.IntN(0o1000)))
	case 3:
		_ = os.RemoveAll(pick)
	case 4, 5:
		_ = os.Rename(pick, fresh)
	case 6, 7:
		_ = os.Link(pick, fresh)
	case 8:
		_ = os.Symlink(filepath.Base(pick), fresh)
	case 9:
		_ = os.Lchown(pick, rng.IntN(3), rng.IntN(3))
	case 10:
		_ = syscall.Setxattr(pick, "user.r", []byte{byte(rng.IntN(3))}, 0)
	case 11:
		_ = os.Chtimes(pick, Epoch, Epoch)
	}
}

func TestDiffRefusesReservedNames(t *testing.T) {
	lower, upper := t.TempDir(), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(upper, "d/.wh.x"), 0o755))
	_, err := layer.Diff(t.Context(), Open(t, lower), Open(t, upper), io.Discard, layer.DiffOptions{})
	require.ErrorIs(t, err, layer.ErrReservedName)
	assert.ErrorContains(t, err, `"/d/.wh.x"`)
}

func TestDiffLeavesSocketsOut(t *testing.T) {
	lower, upper := t.TempDir(), t.TempDir()
	l, err := net.Listen("unix", filepath.Join(upper, "s"))
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	require.NoError(t, os.Chtimes(upper, Epoch, Epoch))
	require.NoError(t, os.Chtimes(lower, Epoch, Epoch))
	var warnings []string
	changes, err := layer.Diff(t.Context(), Open(t, lower), Open(t, upper), io.Discard,
		layer.DiffOptions{Warn: func(m string) { warnings = append(warnings, m) }})
	require.NoError(t, err)
	assert.Empty(t, changes)
	assert.Equal(t, []string{`socket "s" left out: layers hold none`}, warnings)
}

// On one filesystem a file with the same inode and ctime is not even opened.
func TestSameFilesystemTrustsInodeAndCtime(t *testing.T) {
	dir := apply(t, Tar(t, File("a", "a"), File("h", "h"), Link("i", "h")))
	changes, err := layer.Changes(t.Context(), Open(t, dir), Open(t, dir), layer.DiffOptions{SameFilesystem: true})
	require.NoError(t, err)
	assert.Empty(t, changes)
}
