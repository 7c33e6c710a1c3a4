package metadata_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/test/resulttest"
)

// aCatalog is the bytes of a catalog with something of everything, and branches.
func aCatalog(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := metadata.Open(path, metadata.Options{})
	require.NoError(t, err)
	require.NoError(t, c.SetPool(metadata.Pool{Name: "web", State: metadata.Ready, BlockSize: 65536}))
	id, err := c.Reserve(1, "template")
	require.NoError(t, err)
	require.NoError(t, c.AddTemplate(metadata.Template{Name: "ext4", Thin: id, Size: 1}))
	parent := ""
	for i := range 60 {
		key := fmt.Sprint("layer ", i)
		_, err := create(c, metadata.Snapshot{Key: key + " work", Parent: parent, Kind: metadata.Active, Size: 1, Labels: map[string]string{"a": "b"}})
		require.NoError(t, err)
		_, err = c.Commit(at(c, key+" work"), key, nil)
		require.NoError(t, err)
		if i%3 == 0 {
			parent = key
		}
	}
	_, err = create(c, metadata.Snapshot{Key: "view", Parent: parent, Kind: metadata.View, Size: 1})
	require.NoError(t, err)
	_, err = c.Remove(at(c, "layer 59"))
	require.NoError(t, err)
	require.NoError(t, c.SaveAcknowledged())
	require.NoError(t, c.PutImage(metadata.Image{Name: "nginx", Record: bytes.Repeat([]byte("image"), 2000)}))
	require.NoError(t, c.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// dump is everything that a catalog says.
func dump(c *metadata.Catalog) (string, error) {
	pool, err1 := c.Pool()
	all, err2 := c.Snapshots()
	templates, err3 := c.Templates()
	trash, err4 := c.Trash()
	images, err5 := c.Images()
	text, err6 := json.Marshal([]any{pool, all, templates, trash, images})
	return string(text), errors.Join(err1, err2, err3, err4, err5, err6, c.Check())
}

// ask opens a catalog of those bytes and asks it everything. It says whether the
// answer is an error, and that the file is as it was if so.
func ask(t *testing.T, path string, content []byte, o metadata.Options) (answer string, err error) {
	t.Helper()
	o.MustExist = true
	require.NoError(t, os.WriteFile(path, content, 0o600))
	c, err := metadata.Open(path, o)
	if err == nil {
		answer, err = dump(c)
		require.NoError(t, c.Close())
	}
	if err != nil {
		now, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		require.True(t, bytes.Equal(content, now), "a damaged catalog was written to: %v", err)
	}
	return answer, err
}

func understood(err error) bool {
	return errors.Is(err, metadata.ErrCorrupt) || errors.Is(err, metadata.ErrVersion) || errors.Is(err, metadata.ErrNotFound)
}

// Whatever bit of a catalog changes: an error that says so, or no difference. Never
// a panic, never a write.
func TestFlippedBitsOfTheCatalogAreErrors(t *testing.T) {
	row, end := resulttest.Begin(t, "damaged catalog", 5)
	defer end()
	whole := aCatalog(t)
	path := filepath.Join(t.TempDir(), "catalog.db")
	want, err := ask(t, path, whole, metadata.Options{})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(5, 5))
	found, harmless := 0, 0
	for at := 0; at < len(whole); at += 1 + r.IntN(2*max(1, len(whole)/700)) {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << r.IntN(8)
		row.Points++
		got, err := ask(t, path, damaged, metadata.Options{})
		if err != nil {
			require.True(t, understood(err), "byte %d: %v", at, err)
			found++
			continue
		}
		require.True(t, want == got, "byte %d changed the answer, and nobody noticed", at)
		harmless++
	}
	t.Logf("%d bits were noticed, %d are in pages that are not in use", found, harmless)
	require.Greater(t, found, 100)
}

func TestCutCatalogsAreErrors(t *testing.T) {
	whole := aCatalog(t)
	path := filepath.Join(t.TempDir(), "catalog.db")
	want, err := ask(t, path, whole, metadata.Options{})
	require.NoError(t, err)
	for _, n := range []int{0, 1, 511, 4095, 4096, 4096 + 80, 8191, 8192, 12288, len(whole) / 3, len(whole) / 2, len(whole) - 8192, len(whole) - 1} {
		got, err := ask(t, path, whole[:n], metadata.Options{})
		if err == nil {
			require.True(t, want == got, "cut to %d bytes", n)
			continue
		}
		require.True(t, understood(err), "cut to %d bytes: %v", n, err)
	}
	for _, zeros := range []int{4096, 1 << 20} {
		_, err := ask(t, path, make([]byte, zeros), metadata.Options{})
		require.ErrorIs(t, err, metadata.ErrCorrupt)
	}
}

// A page that goes bad while the catalog is open is an error and not the end of the
// process: here the file is cut under the map that bbolt reads it through.
func TestPagesThatCannotBeReadAreErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	require.NoError(t, os.WriteFile(path, aCatalog(t), 0o600))
	c, err := metadata.Open(path, metadata.Options{MustExist: true})
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 8192))
	_, err = c.Snapshots()
	require.ErrorIs(t, err, metadata.ErrCorrupt)
	_, err = c.Remove(at(c, "view"))
	require.ErrorIs(t, err, metadata.ErrCorrupt)
	require.NoError(t, c.Close())
}

// A damaged header page would have hidden the last change: bbolt goes by the other.
func TestOlderHeaderIsUsedOnlyOnRequest(t *testing.T) {
	whole := aCatalog(t)
	path := filepath.Join(t.TempDir(), "catalog.db")
	lost := 0
	for _, at := range []int{16 + 48, 4096 + 16 + 48} {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		_, err := ask(t, path, damaged, metadata.Options{})
		require.ErrorAs(t, err, new(*metadata.HeaderError))
		require.ErrorIs(t, err, metadata.ErrCorrupt)
		require.ErrorIs(t, err, class.Inconsistent)
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		c, err := metadata.Open(path, metadata.Options{MustExist: true, AcceptOlder: true})
		require.NoError(t, err)
		if _, err := c.Image("nginx"); err != nil {
			require.ErrorIs(t, err, metadata.ErrNotFound)
			lost++
		}
		require.NoError(t, c.PutImage(metadata.Image{Name: "new", Record: []byte("{}")}))
		require.NoError(t, c.Close())
		c, err = metadata.Open(path, metadata.Options{MustExist: true})
		require.NoError(t, err, "the next change mends it")
		require.NoError(t, c.Close())
	}
	assert.Equal(t, 1, lost, "one header is newer than the other")
}

// Damage of any kind at any place: an error or an answer, and no panic.
func FuzzDamagedCatalog(f *testing.F) {
	whole := aCatalog(f)
	f.Add(uint32(16), uint64(0), uint16(8))
	f.Add(uint32(4096*3+8), uint64(1), uint16(0))
	f.Add(uint32(4096*5+16), uint64(0xffffffff), uint16(100))
	path := filepath.Join(f.TempDir(), "catalog.db")
	f.Fuzz(func(t *testing.T, at uint32, value uint64, cut uint16) {
		damaged := bytes.Clone(whole)
		binary.LittleEndian.PutUint64(damaged[int(at)%(len(damaged)-8):], value)
		_, err := ask(t, path, damaged[:len(damaged)-int(cut)], metadata.Options{AcceptOlder: at%2 == 0})
		if err != nil {
			require.True(t, understood(err), "%v", err)
		}
	})
}
