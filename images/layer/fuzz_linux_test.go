package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/veneerdm/veneer/images/internal/treetest"
	"github.com/veneerdm/veneer/images/layer"
)

// words are what names are made of. They meet often, so that entries collide.
var words = []string{"a", "b", "l", "d", "..", ".", "", "/", "beside", "secret", ".wh.a", ".wh.d", ".wh.l", ".wh..wh..opq", ".wh...", ".wh."}

var types = []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeReg, tar.TypeDir, tar.TypeFifo, tar.TypeSymlink}

// entries turns bytes into a layer: each entry takes four, for its type, how many
// words its names have and which.
func entries(program []byte) []Entry {
	name := func(count, which byte) string {
		var parts []string
		for range count%3 + 1 {
			parts = append(parts, words[which%16])
			which = which>>4 | which<<4
		}
		return strings.Join(parts, "/")
	}
	var list []Entry
	for ; len(program) >= 4 && len(list) < 40; program = program[4:] {
		e := Entry{Header: tar.Header{Typeflag: types[program[0]%8], Name: name(program[1], program[2]), Mode: int64(program[3]) << 4 & 0o777}}
		if e.Typeflag != tar.TypeDir {
			e.Name = strings.TrimRight(e.Name, "/") + words[program[3]%4]
		}
		switch e.Typeflag {
		case tar.TypeReg:
			e.Body = e.Name
			e.Size = int64(len(e.Body))
		case tar.TypeSymlink, tar.TypeLink:
			e.Linkname = name(program[1]>>4, program[3])
		}
		list = append(list, e)
	}
	return list
}

// FuzzApply looks for a layer that changes something outside the root, fails in a
// way that has no class, or gives another tree the second time.
func FuzzApply(f *testing.F) {
	f.Add([]byte("\x01\x00\x03\x01\x00\x01\x30\x00\x02\x20\x02\x44\x00\x01\x20\x00"))
	f.Add([]byte("\x02\x10\x02\x84\x00\x01\x82\x00\x03\x11\x02\x49\x00\x00\x0d\x00\x00\x01\xd2\x00"))
	lower := Tar(f, Folder("./"), Folder("d"), File("d/a", "lower"), File("d/b", "lower"), Symlink("l", "d"), Symlink("s", "../beside"))
	f.Fuzz(func(t *testing.T, program []byte) {
		data := Tar(t, entries(program)...)
		var trees [2][]string
		for i := range trees {
			root, unharmed := arena(t)
			dir := Open(t, root)
			_, err := layer.Apply(t.Context(), dir, bytes.NewReader(lower), layer.ApplyOptions{})
			require.NoError(t, err)
			_, err = layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.ApplyOptions{})
			if err != nil {
				require.True(t, errors.Is(err, layer.ErrHostile) || errors.Is(err, layer.ErrMalformed), "%v", err)
			}
			unharmed()
			trees[i] = Describe(t, root)
		}
		assert.Equal(t, trees[0], trees[1])
	})
}

// FuzzApplyBytes has the tar itself mangled.
func FuzzApplyBytes(f *testing.F) {
	f.Add(Tar(f, Folder("d"), File("d/a", "a"), Symlink("l", "../.."), File("l/x", "x"), Link("h", "d/a"), File("d/.wh.a", "")))
	f.Add(sparseTar(f, 1<<16))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, unharmed := arena(t)
		_, _ = layer.Apply(t.Context(), Open(t, root), bytes.NewReader(data), layer.ApplyOptions{
			Limits: layer.Limits{Bytes: 1 << 20, NoDevices: true},
		})
		unharmed()
	})
}
