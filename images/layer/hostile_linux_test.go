package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
)

// arena makes a directory to apply into with something beside it that must not
// change and must not be seen.
func arena(t *testing.T) (root string, unharmed func()) {
	t.Helper()
	outer := t.TempDir()
	root = filepath.Join(outer, "root")
	require.NoError(t, os.Mkdir(root, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(outer, "secret"), []byte("secret"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(outer, "beside"), 0o755))
	outside := func() []string {
		var lines []string
		for _, line := range Describe(t, outer) {
			if !strings.HasPrefix(line, "root") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	before := outside()
	return root, func() {
		t.Helper()
		assert.Equal(t, before, outside(), "nothing outside the root may change")
	}
}

func TestHostileLayers(t *testing.T) {
	with := func(e Entry, change func(*tar.Header)) Entry {
		change(&e.Header)
		return e
	}
	deep := strings.Repeat("d/", 300) + "f"
	chain := []Entry{}
	for i := range 45 {
		chain = append(chain, Symlink(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
	}
	growing := []Entry{Folder("a")}
	for i := range 300 { // each link leads one level deeper than its own path says
		growing = append(growing, Symlink(fmt.Sprintf("x%d", i), fmt.Sprintf("x%d/d", i-1)), File(fmt.Sprintf("x%d/f", i), ""))
	}
	growing[1] = Symlink("x0", "a")
	tests := map[string]struct {
		entries []Entry
		limits  layer.Limits
		class   error
		names   string // in the message
	}{
		"dot dot":               {[]Entry{File("../secret", "x")}, layer.Limits{}, layer.ErrHostile, `"../secret"`},
		"hidden dot dot":        {[]Entry{Folder("a"), File("a/../../secret", "x")}, layer.Limits{}, layer.ErrHostile, `"a/../../secret"`},
		"absolute dot dot":      {[]Entry{File("/../secret", "x")}, layer.Limits{}, layer.ErrHostile, `"/../secret"`},
		"link to outside":       {[]Entry{Link("steal", "../secret")}, layer.Limits{}, layer.ErrHostile, `"steal"`},
		"link over a symlink":   {[]Entry{Symlink("up", ".."), Link("steal", "up/secret")}, layer.Limits{}, layer.ErrMalformed, `"steal"`},
		"link to absolute":      {[]Entry{Link("steal", "/etc/passwd")}, layer.Limits{}, layer.ErrMalformed, `"steal"`},
		"link to a directory":   {[]Entry{Folder("d"), Link("steal", "d")}, layer.Limits{}, layer.ErrMalformed, `"steal"`},
		"link to the root":      {[]Entry{Link("steal", "/")}, layer.Limits{}, layer.ErrMalformed, `"steal"`},
		"symlink loop":          {[]Entry{Symlink("a", "b"), Symlink("b", "a"), File("a/x", "x")}, layer.Limits{}, layer.ErrHostile, `"a/x"`},
		"symlink to itself":     {[]Entry{Symlink("a", "a"), File("a/x", "x")}, layer.Limits{}, layer.ErrHostile, `"a/x"`},
		"long symlink chain":    {append(chain, File("l0/x", "x")), layer.Limits{}, layer.ErrHostile, `"l0/x"`},
		"too deep":              {[]Entry{File(deep, "x")}, layer.Limits{}, layer.ErrHostile, "deep"},
		"deep over symlinks":    {growing, layer.Limits{Depth: 40}, layer.ErrHostile, "x"},
		"long component":        {[]Entry{File(strings.Repeat("n", 256), "x")}, layer.Limits{}, layer.ErrHostile, "255"},
		"long symlink part":     {[]Entry{Symlink("a", strings.Repeat("n", 256)), File("a/x", "x")}, layer.Limits{}, layer.ErrHostile, "255"},
		"long name":             {[]Entry{File(strings.Repeat("n/", 2100)+"x", "x")}, layer.Limits{}, layer.ErrHostile, "too long"},
		"long link":             {[]Entry{Symlink("a", strings.Repeat("n/", 2100))}, layer.Limits{}, layer.ErrHostile, "too long"},
		"whiteout of dot dot":   {[]Entry{File(".wh...", "")}, layer.Limits{}, layer.ErrHostile, `".wh..."`},
		"whiteout of dot":       {[]Entry{File("d/.wh..", "")}, layer.Limits{}, layer.ErrHostile, `"d/.wh.."`},
		"whiteout of nothing":   {[]Entry{File(".wh.", "")}, layer.Limits{}, layer.ErrHostile, `".wh."`},
		"below a whiteout":      {[]Entry{File(".wh.d/x", "")}, layer.Limits{}, layer.ErrHostile, `".wh.d/x"`},
		"symlink to nothing":    {[]Entry{Symlink("a", "")}, layer.Limits{}, layer.ErrMalformed, `"a"`},
		"root as a file":        {[]Entry{File(".", "x")}, layer.Limits{}, layer.ErrMalformed, `"."`},
		"root as a symlink":     {[]Entry{Symlink("./", "/etc")}, layer.Limits{}, layer.ErrMalformed, `"./"`},
		"too many entries":      {[]Entry{File("a", ""), File("b", ""), File("c", "")}, layer.Limits{Entries: 2}, layer.ErrHostile, `"c"`},
		"too many bytes":        {[]Entry{File("a", "12345"), File("b", "12345")}, layer.Limits{Bytes: 9}, layer.ErrHostile, `"b"`},
		"negative owner":        {[]Entry{with(File("a", ""), func(h *tar.Header) { h.Uid = -1 })}, layer.Limits{}, layer.ErrHostile, `"a"`},
		"owner beyond 32 bits":  {[]Entry{with(File("a", ""), func(h *tar.Header) { h.Gid = 1<<32 - 1 })}, layer.Limits{}, layer.ErrHostile, `"a"`},
		"device forbidden":      {[]Entry{{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "sda"}}}, layer.Limits{NoDevices: true}, layer.ErrHostile, `"sda"`},
		"device out of range":   {[]Entry{{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 1 << 20, Format: tar.FormatGNU}}}, layer.Limits{}, layer.ErrHostile, `"sda"`},
		"many xattr bytes":      {[]Entry{with(File("a", ""), func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": strings.Repeat("v", 100)} })}, layer.Limits{XattrBytes: 50}, layer.ErrHostile, `"a"`},
		"unknown type":          {[]Entry{{Header: tar.Header{Typeflag: 'Z', Name: "a"}}}, layer.Limits{}, layer.ErrMalformed, `"a"`},
		"symlink then file out": {[]Entry{Symlink("o", "../beside"), File("o/../../secret", "x")}, layer.Limits{}, layer.ErrHostile, "secret"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root, unharmed := arena(t)
			_, err := layer.Apply(t.Context(), Open(t, root), bytes.NewReader(Tar(t, test.entries...)), layer.ApplyOptions{Limits: test.limits})
			require.ErrorIs(t, err, test.class)
			assert.ErrorContains(t, err, test.names)
			assert.NotContains(t, err.Error(), "\n")
			unharmed()
		})
	}
}

// What a symbolic link names outside is resolved inside.
func TestSymlinksResolveInTheRoot(t *testing.T) {
	for _, target := range []string{"../beside", "../../../../..", "/", "/proc/self/cwd", "../../secret"} {
		t.Run(target, func(t *testing.T) {
			root, unharmed := arena(t)
			_, err := layer.Apply(t.Context(), Open(t, root), bytes.NewReader(Tar(t,
				Symlink("out", target), File("out/new", "x"), Folder("out/dir"), File("out/.wh.beside", ""), File("out/.wh.secret", ""),
				Symlink("out/again", "../out"), File("out/again/x", "x"))), layer.ApplyOptions{})
			require.NoError(t, err)
			unharmed()
		})
	}
}

func TestTruncatedTar(t *testing.T) {
	whole := Tar(t, File("a", strings.Repeat("x", 2000)), File("b", "b"))
	for _, cut := range []int{100, 512 * 3, 512*3 + 700, len(whole) - 1024 - 512} {
		root, _ := arena(t)
		_, err := layer.Apply(t.Context(), Open(t, root), bytes.NewReader(whole[:cut]), layer.ApplyOptions{})
		require.ErrorIs(t, err, layer.ErrTruncated, "cut at %d", cut)
	}
	root, _ := arena(t)
	_, err := layer.Apply(t.Context(), Open(t, root), strings.NewReader(strings.Repeat("no tar ", 200)), layer.ApplyOptions{})
	require.ErrorIs(t, err, layer.ErrMalformed)
}

func TestSparseBombIsBounded(t *testing.T) {
	root, _ := arena(t)
	// PAX sparse 0.1: a petabyte with no data.
	raw := sparseTar(t, 1<<50)
	_, err := layer.Apply(t.Context(), Open(t, root), bytes.NewReader(raw), layer.ApplyOptions{})
	require.ErrorIs(t, err, layer.ErrHostile)

	_, err = layer.Apply(t.Context(), Open(t, root), bytes.NewReader(sparseTar(t, 64<<20)), layer.ApplyOptions{})
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(root, "huge"))
	require.NoError(t, err)
	assert.EqualValues(t, 64<<20, info.Size())
	assert.Less(t, blocks(t, info), int64(100), "the hole takes no space")
}

func TestCancelledApplyStops(t *testing.T) {
	root, _ := arena(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := layer.Apply(ctx, Open(t, root), bytes.NewReader(Tar(t, File("a", "a"))), layer.ApplyOptions{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, names(t, root))
}
