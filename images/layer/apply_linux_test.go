package layer_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
)

// apply applies layers in turn to a new directory.
func apply(t *testing.T, layers ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, l := range layers {
		_, err := layer.Apply(t.Context(), Open(t, dir), bytes.NewReader(l), layer.ApplyOptions{})
		require.NoError(t, err)
	}
	return dir
}

// names lists the tree below dir, directories with a slash.
func names(t *testing.T, dir string) []string {
	t.Helper()
	out := []string{}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if info.IsDir() {
			name += "/"
		}
		out = append(out, name)
		return nil
	}))
	return out
}

func whiteout(name string) Entry {
	dir, base := filepath.Split(name)
	return File(dir+".wh."+base, "")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// Every case is applied in the order given and in reverse: the result may not
// depend on it, unless ordered says why it does.
func TestWhiteouts(t *testing.T) {
	lower := []Entry{
		Folder("d"), File("d/a", "a"), File("d/b", "b"), Folder("d/sub"), File("d/sub/c", "c"),
		Folder("e"), File("e/f", "f"), Symlink("l", "d"), File("top", "top"),
	}
	tests := map[string]struct {
		upper []Entry
		want  []string
	}{
		"file":                  {[]Entry{whiteout("d/a")}, []string{"d/", "d/b", "d/sub/", "d/sub/c", "e/", "e/f", "l", "top"}},
		"directory":             {[]Entry{whiteout("d")}, []string{"e/", "e/f", "l", "top"}},
		"symlink, not target":   {[]Entry{whiteout("l")}, []string{"d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e/", "e/f", "top"}},
		"through a symlink":     {[]Entry{whiteout("l/a")}, []string{"d/", "d/b", "d/sub/", "d/sub/c", "e/", "e/f", "l", "top"}},
		"of nothing":            {[]Entry{whiteout("no"), whiteout("no/such")}, []string{"d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e/", "e/f", "l", "top"}},
		"opaque":                {[]Entry{File("d/.wh..wh..opq", "")}, []string{"d/", "e/", "e/f", "l", "top"}},
		"opaque spares its own": {[]Entry{File("d/.wh..wh..opq", ""), File("d/new", "n"), File("d/b", "B")}, []string{"d/", "d/b", "d/new", "e/", "e/f", "l", "top"}},
		"opaque goes deep":      {[]Entry{File("d/.wh..wh..opq", ""), File("d/sub/new", "n")}, []string{"d/", "d/sub/", "d/sub/new", "e/", "e/f", "l", "top"}},
		"opaque, listed below":  {[]Entry{File("d/.wh..wh..opq", ""), Folder("d"), Folder("d/sub"), File("d/sub/new", "n")}, []string{"d/", "d/sub/", "d/sub/new", "e/", "e/f", "l", "top"}},
		"opaque root":           {[]Entry{File(".wh..wh..opq", ""), File("new", "n")}, []string{"new"}},
		"directory made anew":   {[]Entry{whiteout("d"), Folder("d"), File("d/new", "n")}, []string{"d/", "d/new", "e/", "e/f", "l", "top"}},
		"file of this layer":    {[]Entry{whiteout("top"), File("top", "new")}, []string{"d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e/", "e/f", "l", "top"}},
		"aufs book-keeping":     {[]Entry{File(".wh..wh.aufs", ""), Folder(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "x")}, []string{"d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e/", "e/f", "l", "top"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			base := Tar(t, lower...)
			assert.Equal(t, test.want, names(t, apply(t, base, Tar(t, test.upper...))))
			slices.Reverse(test.upper)
			assert.Equal(t, test.want, names(t, apply(t, base, Tar(t, test.upper...))), "reversed")
		})
	}
}

func TestWhiteoutInItsOwnLayerHidesNothing(t *testing.T) {
	dir := apply(t, Tar(t, File("a", "a"), whiteout("a"), Folder("d"), File("d/b", "b"), File("d/.wh..wh..opq", "")))
	assert.Equal(t, []string{"a", "d/", "d/b"}, names(t, dir))
}

func TestReplacing(t *testing.T) {
	lower := Tar(t, Folder("d"), File("d/x", "x"), File("f", "old"), Symlink("l", "d"), Symlink("out", "/etc"), Symlink("dangling", "nowhere/else"))
	tests := map[string]struct {
		upper []Entry
		want  []string
	}{
		"directory by file":           {[]Entry{File("d", "now a file")}, []string{"d", "dangling", "f", "l", "out"}},
		"file by directory":           {[]Entry{Folder("f"), File("f/x", "x")}, []string{"d/", "d/x", "dangling", "f/", "f/x", "l", "out"}},
		"file by implied directory":   {[]Entry{File("f/x", "x")}, []string{"d/", "d/x", "dangling", "f/", "f/x", "l", "out"}},
		"symlink by directory":        {[]Entry{Folder("l")}, []string{"d/", "d/x", "dangling", "f", "l/", "out"}},
		"symlink by file":             {[]Entry{File("out", "x")}, []string{"d/", "d/x", "dangling", "f", "l", "out"}},
		"write through a symlink":     {[]Entry{File("l/y", "y")}, []string{"d/", "d/x", "d/y", "dangling", "f", "l", "out"}},
		"absolute symlink stays in":   {[]Entry{File("out/y", "y")}, []string{"d/", "d/x", "dangling", "etc/", "etc/y", "f", "l", "out"}},
		"dangling symlink":            {[]Entry{File("dangling/y", "y")}, []string{"d/", "d/x", "dangling", "f", "l", "nowhere/", "nowhere/else/", "nowhere/else/y", "out"}},
		"last duplicate wins":         {[]Entry{File("f", "1"), Folder("f"), File("f/a", "a"), File("f", "last")}, []string{"d/", "d/x", "dangling", "f", "l", "out"}},
		"absolute and dotted names":   {[]Entry{File("/abs", "x"), File("./dot", "x"), File("d/../up", "x")}, []string{"abs", "d/", "d/x", "dangling", "dot", "f", "l", "out", "up"}},
		"replaced link, then through": {[]Entry{File("l/y", "y"), Folder("l"), File("l/z", "z")}, []string{"d/", "d/x", "d/y", "dangling", "f", "l/", "l/z", "out"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := apply(t, lower, Tar(t, test.upper...))
			assert.Equal(t, test.want, names(t, dir))
		})
	}
	body, err := os.ReadFile(filepath.Join(apply(t, lower, Tar(t, File("f", "1"), File("f", "last"))), "f"))
	require.NoError(t, err)
	assert.Equal(t, "last", string(body))
}

func TestMetadata(t *testing.T) {
	needRoot(t)
	meta := func(e Entry, change func(*tar.Header)) Entry {
		change(&e.Header)
		return e
	}
	lower := Tar(t,
		Folder("./"),
		meta(File("suid", "x"), func(h *tar.Header) { h.Mode, h.Uid, h.Gid = 0o4755, 1000, 1001 }),
		meta(File("big", "x"), func(h *tar.Header) { h.Uid, h.Gid = 3_000_000_000, 4_000_000_000 }),
		meta(File("mode", "x"), func(h *tar.Header) { h.Mode = 0o7777 }),
		meta(File("cap", "x"), func(h *tar.Header) {
			h.Uid = 7
			h.PAXRecords = map[string]string{
				"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
				"SCHILY.xattr.user.note":           "a\x00b=c\n",
			}
		}),
		meta(Symlink("link", "mode"), func(h *tar.Header) { h.Uid, h.Gid = 5, 6 }),
		meta(Symlink("trusted", "mode"), func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.trusted.x": "y"} }),
		meta(Folder("sticky"), func(h *tar.Header) { h.Mode = 0o1777 }),
		meta(Folder("setgid"), func(h *tar.Header) { h.Mode, h.Gid = 0o2775, 50 }),
		File("setgid/plain", "x"), Folder("setgid/dir"), Symlink("setgid/link", "x"),
		Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}},
		Entry{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Mode: 0o660, Gid: 6, Devmajor: 259, Devminor: 70000}},
		Entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o600}},
		File("hard1", "h"), Link("hard2", "hard1"), Link("hard3", "/hard2"), Link("null2", "null"), Link("link2", "link"),
	)
	dir := apply(t, lower)
	got := strings.Join(Describe(t, dir), "\n")
	at := " mtime=1700000000.123456789 "
	for _, want := range []string{
		". 040755 0:0 links=0" + at,
		"big 100644 3000000000:4000000000 links=1" + at,
		"cap 100644 7:0 links=1" + at + "2d711642b726b044 [security.capability=0100000200200000000000000000000000000000 user.note=6100623d630a]",
		"disk 060660 0:6 links=1" + at + "259:70000",
		"fifo 010600 0:0 links=1" + at,
		"hard3 100644 0:0 links=3" + at + "aaa9402664f1a41f = hard1",
		"link 120777 5:6 links=2" + at + "mode",
		"mode 107777 0:0 links=1" + at,
		"null 020666 0:0 links=2" + at + "1:3",
		"null2 020666 0:0 links=2" + at + "1:3 = null",
		"setgid 042775 0:50 links=0" + at,
		"setgid/dir 040755 0:0 links=0" + at,
		"setgid/link 120777 0:0 links=1" + at,
		"setgid/plain 100644 0:0 links=1" + at,
		"sticky 041777 0:0 links=0" + at,
		"suid 104755 1000:1001 links=1" + at,
		"trusted 120777 0:0 links=1" + at + "mode [trusted.x=79]",
	} {
		assert.Contains(t, got, want)
	}
}

func TestDefaultACLIsNotInherited(t *testing.T) {
	needRoot(t)
	// A default ACL: user 7 rwx, mask rwx.
	acl := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x07\x00\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff"
	folder := Folder("d")
	folder.PAXRecords = map[string]string{"SCHILY.xattr.system.posix_acl_default": acl}
	inside := []Entry{File("d/file", "x"), Folder("d/dir"), File("d/implied/x", "x"), Symlink("d/link", "x")}
	together := apply(t, Tar(t, append([]Entry{folder}, inside...)...))
	apart := apply(t, Tar(t, folder), Tar(t, inside...))
	for _, dir := range []string{together, apart} {
		for _, line := range Describe(t, dir) {
			if strings.HasPrefix(line, "d/") {
				assert.NotContains(t, line, "acl", line)
			}
		}
		assert.Contains(t, strings.Join(Describe(t, dir), "\n"), "d/file 100644")
	}
}

func TestUnlistedDirectoriesKeepTheirTimes(t *testing.T) {
	lower := Tar(t, Folder("a"), Folder("a/b"), File("a/b/c", "c"), File("a/b/d", "d"))
	before := Describe(t, apply(t, lower))
	dir := apply(t, lower, Tar(t, File("a/b/new", "n"), whiteout("a/b/c")), Tar(t, whiteout("a/b/new"), File("a/b/c", "c")))
	assert.Equal(t, before[1:], Describe(t, dir)[1:])
}

func TestDirectoryEntryReplacesAllMetadata(t *testing.T) {
	needRoot(t)
	old := Folder("d")
	old.PAXRecords = map[string]string{"SCHILY.xattr.user.old": "1", "SCHILY.xattr.user.both": "1"}
	renewed := Folder("d")
	renewed.Mode, renewed.Uid = 0o700, 9
	renewed.PAXRecords = map[string]string{"SCHILY.xattr.user.both": "2"}
	// The child first, so that the directory is open when its entry comes.
	dir := apply(t, Tar(t, old), Tar(t, File("d/child", "x"), renewed))
	got := strings.Join(Describe(t, dir), "\n")
	assert.Contains(t, got, "d 040700 9:0 links=0 mtime=1700000000.123456789  [user.both=32]")
}

func TestHardLinkToLowerLayer(t *testing.T) {
	dir := apply(t, Tar(t, Folder("d"), File("d/a", "one"), Link("d/b", "d/a")), Tar(t, Link("c", "d/a"), File("d/a", "two")))
	for name, want := range map[string]string{"d/a": "two", "d/b": "one", "c": "one"} {
		body, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, want, string(body), name)
	}
}

func TestManyDirectoriesAtOnce(t *testing.T) {
	var entries []Entry
	for round := range 3 {
		for i := range 300 {
			name := strings.Repeat("d", i%50+1) + "/" + string(rune('a'+i%26)) + "/" + strings.Repeat("f", i+1)[:i%200+1]
			if round == 0 {
				entries = append(entries, Folder(filepath.Dir(name)))
			}
			entries = append(entries, File(name, name))
		}
	}
	one := apply(t, Tar(t, entries...))
	two := apply(t, Tar(t, entries...), Tar(t, entries...))
	assert.Equal(t, Describe(t, one)[1:], Describe(t, two)[1:])
}
