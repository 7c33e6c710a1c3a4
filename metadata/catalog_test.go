package metadata_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c, err := metadata.Open(filepath.Join(dir, "catalog.db"), metadata.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	s, err := c.Create(metadata.Snapshot{Key: "work", Kind: metadata.Active, Size: 1 << 30})
	c.Acknowledge(s)
	fmt.Println(s.Thin, s.Kind, err)
	s, err = c.Commit(at(c, "work"), "layer", nil)
	fmt.Println(s.Key, s.Kind, err)
	_, err = c.Remove(at(c, "layer"))
	trash, _ := c.Trash()
	fmt.Println(err, len(trash), c.Check())
	// Output:
	// 0 active <nil>
	// layer committed <nil>
	// <nil> 1 <nil>
}

func newCatalog(t *testing.T, o metadata.Options) *metadata.Catalog {
	t.Helper()
	c, err := metadata.Open(filepath.Join(t.TempDir(), "catalog.db"), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func TestRulesOfTheCatalog(t *testing.T) {
	c := newCatalog(t, metadata.Options{})
	active := func(key, parent string) error {
		_, err := create(c, metadata.Snapshot{Key: key, Parent: parent, Kind: metadata.Active, Size: 1})
		return err
	}
	require.NoError(t, active("a", ""))
	assert.ErrorIs(t, active("a", ""), metadata.ErrExists)
	assert.ErrorIs(t, active("b", "a"), metadata.ErrInvalid, "an active snapshot has no children")
	assert.ErrorIs(t, active("b", "nobody"), metadata.ErrNotFound)
	assert.ErrorIs(t, active("", ""), metadata.ErrInvalid)
	_, err := c.Commit(at(c, "a"), "A", nil)
	require.NoError(t, err)
	_, err = c.Commit(at(c, "A"), "B", nil)
	assert.ErrorIs(t, err, metadata.ErrInvalid)
	require.NoError(t, active("b", "A"))
	v, err := create(c, metadata.Snapshot{Key: "v", Parent: "A", Kind: metadata.View, Size: 1})
	require.NoError(t, err)
	a, err := c.Get("A")
	require.NoError(t, err)
	assert.Equal(t, a.Thin, v.Thin, "a view shows its parent's thin device")
	_, err = c.Remove(at(c, "A"))
	assert.ErrorIs(t, err, metadata.ErrInUse)
	assert.Equal(t, []string{"b", "v"}, c.Children("A"))
	_, err = c.Commit(at(c, "b"), "A", nil)
	assert.ErrorIs(t, err, metadata.ErrExists)
	for _, key := range []string{"b", "v", "A"} {
		_, err = c.Remove(at(c, key))
		require.NoError(t, err)
	}
	trash, err := c.Trash()
	require.NoError(t, err)
	assert.Len(t, trash, 2, "the view had nothing of its own")
	require.NoError(t, c.Check())
	require.NoError(t, c.Forget(trash[0].Thin, trash[1].Thin))
	require.NoError(t, c.Check())
	_, err = c.Remove(at(c, "A"))
	assert.ErrorIs(t, err, metadata.ErrNotFound)
}

func TestReservedThinsAreInTheTrashUntilTheyAreTaken(t *testing.T) {
	c := newCatalog(t, metadata.Options{})
	s, err := create(c, metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
	require.NoError(t, err)
	id, err := c.Reserve(5, "rollback of a")
	require.NoError(t, err)
	got, err := c.ReplaceThin(at(c, "a"), id, 5)
	require.NoError(t, err)
	assert.Equal(t, id, got.Thin)
	trash, err := c.Trash()
	require.NoError(t, err)
	require.Len(t, trash, 1)
	assert.Equal(t, s.Thin, trash[0].Thin)
	_, err = c.ReplaceThin(at(c, "a"), id, 5)
	assert.ErrorIs(t, err, metadata.ErrInvalid)
	id, err = c.Reserve(9, "template")
	require.NoError(t, err)
	require.NoError(t, c.AddTemplate(metadata.Template{Name: "ext4", Thin: id, Size: 9}))
	require.NoError(t, c.Check())
	require.NoError(t, c.RemoveTemplate("ext4"))
	require.NoError(t, c.Check())
}

func TestSecondOpenerIsToldWhoHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	c, err := metadata.Open(path, metadata.Options{})
	require.NoError(t, err)
	_, err = metadata.Open(path, metadata.Options{})
	var locked *metadata.LockedError
	require.ErrorAs(t, err, &locked)
	assert.Equal(t, os.Getpid(), locked.PID)
	assert.ErrorIs(t, err, metadata.ErrLocked)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "closing twice is no error")
	c, err = metadata.Open(path, metadata.Options{MustExist: true})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = metadata.Open(path+"x", metadata.Options{MustExist: true})
	assert.ErrorIs(t, err, metadata.ErrNotFound)
	require.NoError(t, os.WriteFile(path, []byte("not a database, but some bytes that are long enough"), 0o600))
	_, err = metadata.Open(path, metadata.Options{})
	assert.ErrorIs(t, err, metadata.ErrCorrupt)
}

func TestImagesAndPoolAreKept(t *testing.T) {
	c := newCatalog(t, metadata.Options{})
	_, err := c.Pool()
	assert.ErrorIs(t, err, metadata.ErrNotFound)
	want := metadata.Pool{Name: "web", State: metadata.Ready, Backing: metadata.BackingLoop, Data: "/d", BlockSize: 65536}
	require.NoError(t, c.SetPool(want))
	got, err := c.Pool()
	require.NoError(t, err)
	assert.Equal(t, want, got)
	require.NoError(t, c.PutImage(metadata.Image{Name: "nginx", Record: []byte("{}")}))
	all, err := c.Images()
	require.NoError(t, err)
	assert.Len(t, all, 1)
	require.NoError(t, c.DeleteImage("nginx"))
	assert.ErrorIs(t, c.DeleteImage("nginx"), metadata.ErrNotFound)
	_, err = c.Image("nginx")
	assert.ErrorIs(t, err, metadata.ErrNotFound)
}

// Random operations, each of which may fail in its transaction, against a model.
func TestRandomOperationsKeepTheRules(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := newCatalog(t, metadata.Options{})
		model := map[string]metadata.Snapshot{}
		var names []string
		pick := func() string {
			if len(names) == 0 || r.IntN(10) == 0 {
				return fmt.Sprint("s", r.IntN(40))
			}
			return names[r.IntN(len(names))]
		}
		for range 300 {
			key, other := pick(), pick()
			var err error
			var s metadata.Snapshot
			after := func() {}
			switch r.IntN(5) {
			case 0, 1:
				if r.IntN(3) == 0 {
					other = ""
				}
				kind := []metadata.Kind{metadata.Active, metadata.View}[r.IntN(2)]
				if other == "" {
					kind = metadata.Active
				}
				s, err = create(c, metadata.Snapshot{Key: key, Parent: other, Kind: kind, Size: 1})
				after = func() { model[key] = s }
			case 2:
				name := fmt.Sprint("c", r.IntN(40))
				s, err = c.Commit(at(c, key), name, nil)
				after = func() { delete(model, key); model[name] = s }
			case 3:
				_, err = c.Remove(at(c, key))
				after = func() { delete(model, key) }
			case 4:
				trash, terr := c.Trash()
				require.NoError(t, terr)
				if len(trash) == 0 {
					continue
				}
				err = c.Forget(trash[r.IntN(len(trash))].Thin)
			}
			if err == nil {
				after()
			}
			names = names[:0]
			for k := range model {
				names = append(names, k)
			}
			slices.Sort(names)
		}
		require.NoError(t, c.Check(), "seed %d", seed)
		all, err := c.Snapshots()
		require.NoError(t, err)
		require.Len(t, all, len(model))
		for _, s := range all {
			require.Equal(t, model[s.Key].Thin, s.Thin)
			require.Equal(t, model[s.Key].Kind, s.Kind)
			require.Equal(t, model[s.Key].Parent, s.Parent)
		}
	}
}

func TestIDsAreNotUsedAgainSoon(t *testing.T) {
	c := newCatalog(t, metadata.Options{})
	seen := map[dmthin.ThinID]bool{}
	for range 50 {
		s, err := create(c, metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
		require.NoError(t, err)
		require.False(t, seen[s.Thin])
		seen[s.Thin] = true
		_, err = c.Remove(at(c, "a"))
		require.NoError(t, err)
		require.NoError(t, c.Forget(s.Thin))
	}
	c.SkipThins([]dmthin.ThinID{50, 51})
	s, err := create(c, metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
	require.NoError(t, err)
	assert.EqualValues(t, 52, s.Thin)
	require.NoError(t, c.Check())
}

// What is written ahead is nothing to a reader, now and at the next start.
func TestWriteAhead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := metadata.Open(path, metadata.Options{})
	require.NoError(t, err)
	_, err = create(c, metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, c.WriteAhead())
		st, err := os.Stat(path)
		require.NoError(t, err)
		assert.EqualValues(t, 8<<20, st.Size())
		assert.EqualValues(t, 8<<20/512, st.Sys().(*syscall.Stat_t).Blocks, "no holes")
	}
	_, err = create(c, metadata.Snapshot{Key: "b", Kind: metadata.Active, Size: 1})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	c, err = metadata.Open(path, metadata.Options{MustExist: true})
	require.NoError(t, err)
	require.NoError(t, c.Check())
	all, err := c.Snapshots()
	require.NoError(t, err)
	assert.Len(t, all, 2)
	require.NoError(t, c.Close())
}
