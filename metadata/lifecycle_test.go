package metadata_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// store is a catalog that is closed or killed, and opened again.
type store struct {
	t    *testing.T
	path string
	c    *metadata.Catalog
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{t: t, path: filepath.Join(t.TempDir(), "catalog.db")}
	s.open()
	return s
}

func (s *store) open() {
	s.t.Helper()
	var err error
	s.c, err = metadata.Open(s.path, metadata.Options{})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { assert.NoError(s.t, s.c.Close()) })
}

// kill ends the process: the file stays as the last transaction left it.
func (s *store) kill() {
	s.t.Helper()
	killed, err := os.ReadFile(s.path)
	require.NoError(s.t, err)
	require.NoError(s.t, s.c.Close())
	require.NoError(s.t, os.WriteFile(s.path, killed, 0o600))
	s.open()
}

func (s *store) restart() {
	s.t.Helper()
	require.NoError(s.t, s.c.Close())
	s.open()
}

func (s *store) create(key string) metadata.Snapshot {
	s.t.Helper()
	r, err := s.c.Create(metadata.Snapshot{Key: key, Kind: metadata.Active, Size: 1})
	require.NoError(s.t, err)
	return r
}

func (s *store) acknowledged(key string) metadata.Snapshot {
	s.t.Helper()
	r := s.create(key)
	s.c.Acknowledge(r)
	return r
}

func (s *store) state(id dmthin.ThinID) lifecycle.State {
	s.t.Helper()
	all, err := s.c.Thins()
	require.NoError(s.t, err)
	for _, t := range all {
		if t.ID == id {
			return t.State
		}
	}
	return lifecycle.Unrecorded
}

func TestNobodySeesWhatIsNotAcknowledged(t *testing.T) {
	s := newStore(t)
	r := s.create("a")
	_, err := s.c.Get("a")
	require.ErrorIs(t, err, metadata.ErrNotFound)
	require.ErrorContains(t, err, "still being made")
	_, err = s.c.Create(metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
	require.ErrorIs(t, err, metadata.ErrExists)
	all, err := s.c.Snapshots()
	require.NoError(t, err)
	assert.Empty(t, all)
	inFlight, err := s.c.InFlight()
	require.NoError(t, err)
	assert.Equal(t, []metadata.Snapshot{r}, inFlight)
	assert.Equal(t, lifecycle.Creating, s.state(r.Thin))

	s.c.Acknowledge(r)
	got, err := s.c.Get("a")
	require.NoError(t, err)
	assert.Equal(t, r, got)
	assert.Equal(t, lifecycle.Active, s.state(r.Thin))
	inFlight, err = s.c.InFlight()
	require.NoError(t, err)
	assert.Empty(t, inFlight)
}

func TestChildrenThatAreNotAcknowledged(t *testing.T) {
	s := newStore(t)
	base, err := s.c.Commit(s.acknowledged("tmp"), "base", nil)
	require.NoError(t, err)
	child, err := s.c.Create(metadata.Snapshot{Key: "child", Parent: "base", Kind: metadata.Active, Size: 1})
	require.NoError(t, err)
	assert.Empty(t, s.c.Children("base"))
	_, err = s.c.Remove(base)
	require.ErrorIs(t, err, metadata.ErrInUse, "it is needed already")
	_, err = s.c.Remove(child)
	require.NoError(t, err, "taken back")
	_, err = s.c.Remove(base)
	require.NoError(t, err)
	require.NoError(t, s.c.Check())
}

// What is acknowledged is known as such after a crash, with the next transaction that
// makes something, after a while, and after Close; what is not is never taken for it.
func TestAcknowledgementsSurvive(t *testing.T) {
	s := newStore(t)
	a, half, b := s.acknowledged("a"), s.create("half"), s.acknowledged("b")
	assert.False(t, s.c.Unsaved(), "the one in flight may be older than b")
	s.kill()
	assert.Equal(t, lifecycle.Active, s.state(a.Thin), "written with the next one")
	assert.Equal(t, lifecycle.Creating, s.state(half.Thin))
	assert.Equal(t, lifecycle.Creating, s.state(b.Thin), "it cannot be told")

	s.c.Acknowledge(half)
	s.c.Acknowledge(b)
	assert.True(t, s.c.Unsaved())
	require.NoError(t, s.c.SaveAcknowledged())
	assert.False(t, s.c.Unsaved())
	c := s.create("c")
	s.kill()
	assert.Equal(t, lifecycle.Active, s.state(half.Thin))
	assert.Equal(t, lifecycle.Active, s.state(b.Thin))
	assert.Equal(t, lifecycle.Creating, s.state(c.Thin))

	s.c.Acknowledge(c)
	s.restart()
	assert.Equal(t, lifecycle.Active, s.state(c.Thin))
	assert.False(t, s.c.Unsaved())

	d := s.create("d")
	s.restart()
	assert.Equal(t, lifecycle.Creating, s.state(d.Thin), "closing acknowledges nothing")
	_, err := s.c.Remove(d)
	require.NoError(t, err)
	assert.Equal(t, lifecycle.Trash, s.state(d.Thin))
	_, err = s.c.Get("a")
	require.NoError(t, err)
}

func TestAnAcknowledgementCostsNoTransaction(t *testing.T) {
	s := newStore(t)
	s.acknowledged("a")
	before, err := os.ReadFile(s.path)
	require.NoError(t, err)
	s.c.Acknowledge(at(s.c, "a"))
	after, err := os.ReadFile(s.path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after))
	require.NoError(t, s.c.SaveAcknowledged())
	saved, err := os.ReadFile(s.path)
	require.NoError(t, err)
	require.NoError(t, s.c.SaveAcknowledged())
	again, err := os.ReadFile(s.path)
	require.NoError(t, err)
	assert.False(t, bytes.Equal(after, saved))
	assert.True(t, bytes.Equal(saved, again), "there was nothing to write")
}

func TestAFailedTransactionHidesNothing(t *testing.T) {
	s := newStore(t)
	a := s.acknowledged("a")
	_, err := s.c.Create(metadata.Snapshot{Key: "b", Kind: metadata.Active, Size: 1, Labels: map[string]string{"l": "\xff"}})
	require.ErrorIs(t, err, metadata.ErrInvalid)
	inFlight, err := s.c.InFlight()
	require.NoError(t, err)
	assert.Empty(t, inFlight)
	b := s.acknowledged("b")
	assert.Equal(t, a.Thin+1, b.Thin, "the id was not taken")
	require.NoError(t, s.c.SaveAcknowledged())
	s.kill()
	assert.Equal(t, lifecycle.Active, s.state(b.Thin))
	require.NoError(t, s.c.Check())
}

func TestLostAndFound(t *testing.T) {
	s := newStore(t)
	base, err := s.c.Commit(s.acknowledged("tmp"), "base", nil)
	require.NoError(t, err)
	child, err := create(s.c, metadata.Snapshot{Key: "child", Parent: "base", Kind: metadata.Active, Size: 1})
	require.NoError(t, err)
	view, err := create(s.c, metadata.Snapshot{Key: "view", Parent: "base", Kind: metadata.View, Size: 1})
	require.NoError(t, err)
	require.ErrorIs(t, s.c.MarkLost(view), metadata.ErrInvalid)
	require.NoError(t, s.c.SaveAcknowledged())
	require.NoError(t, s.c.MarkLost(base))
	_, err = s.c.Create(metadata.Snapshot{Key: "other", Parent: "base", Kind: metadata.Active, Size: 1}, at(s.c, "base"))
	require.ErrorIs(t, err, metadata.ErrLost)
	copied, err := create(s.c, metadata.Snapshot{Key: "copy", Parent: "base", Kind: metadata.Active, Size: 1}, child)
	require.NoError(t, err, "it needs nothing of the parent")
	_, err = s.c.Remove(copied)
	require.NoError(t, err)
	require.NoError(t, s.c.MarkLost(base, child))
	require.NoError(t, s.c.MarkLost(base), "twice is no error")
	for range 2 {
		assert.Equal(t, lifecycle.Lost, s.state(base.Thin))
		assert.Equal(t, lifecycle.Lost, s.state(child.Thin))
		_, err = s.c.Create(metadata.Snapshot{Key: "other", Parent: "base", Kind: metadata.Active, Size: 1})
		require.ErrorIs(t, err, metadata.ErrLost)
		_, err = s.c.Commit(at(s.c, "child"), "never", nil)
		require.ErrorIs(t, err, metadata.ErrLost)
		_, err = s.c.Remove(at(s.c, "base"))
		require.ErrorIs(t, err, metadata.ErrInUse)
		require.NoError(t, s.c.Check())
		s.kill()
	}
	require.NoError(t, s.c.MarkFound(at(s.c, "base")))
	assert.Equal(t, lifecycle.Committed, s.state(base.Thin))
	for _, key := range []string{"child", "view", "base"} {
		_, err = s.c.Remove(at(s.c, key))
		require.NoError(t, err, key)
	}
	assert.Equal(t, lifecycle.Trash, s.state(child.Thin))
}

// A lost layer is made again under its name: its children keep their parent.
func TestCommitUnderALostName(t *testing.T) {
	s := newStore(t)
	base, err := s.c.Commit(s.acknowledged("tmp"), "base", nil)
	require.NoError(t, err)
	child, err := create(s.c, metadata.Snapshot{Key: "child", Parent: "base", Kind: metadata.Active, Size: 2})
	require.NoError(t, err)
	again, err := create(s.c, metadata.Snapshot{Key: "again", Kind: metadata.Active, Size: 2})
	require.NoError(t, err)
	_, err = s.c.Commit(again, "base", nil)
	require.ErrorIs(t, err, metadata.ErrExists, "it is there")
	require.NoError(t, s.c.MarkLost(base))
	large, err := create(s.c, metadata.Snapshot{Key: "large", Kind: metadata.Active, Size: 3})
	require.NoError(t, err)
	_, err = s.c.Commit(large, "base", nil)
	require.ErrorIs(t, err, metadata.ErrExists)
	require.ErrorContains(t, err, "smaller")
	got, err := s.c.Commit(again, "base", nil)
	require.NoError(t, err)
	assert.Equal(t, lifecycle.Committed, s.state(got.Thin))
	assert.Equal(t, lifecycle.Trash, s.state(base.Thin))
	assert.Equal(t, []string{"child"}, s.c.Children("base"))
	assert.Equal(t, "base", at(s.c, child.Key).Parent)
	require.NoError(t, s.c.Check())
	s.restart()
	require.NoError(t, s.c.Check())
}

func TestTheClockIsNeverBehindThePool(t *testing.T) {
	s := newStore(t)
	assert.Zero(t, s.c.Clock(), "nobody knows")
	s.c.SetClock(41)
	s.create("a")
	assert.EqualValues(t, 42, s.c.Clock())
	s.kill()
	assert.EqualValues(t, 42, s.c.Clock())
	_, err := s.c.Reserve(1, "rollback")
	require.NoError(t, err)
	assert.EqualValues(t, 43, s.c.Clock())
	s.c.SetClock(42)
	s.kill()
	assert.EqualValues(t, 43, s.c.Clock())
}

func TestTransitionsThatAreRefused(t *testing.T) {
	s := newStore(t)
	half := s.create("half")
	_, err := s.c.Commit(half, "done", nil)
	require.ErrorIs(t, err, metadata.ErrInvalid, "nobody was told that it is there")
	require.ErrorIs(t, s.c.MarkLost(half), metadata.ErrInvalid)
	a := s.acknowledged("a")
	require.ErrorIs(t, s.c.Release(a.Thin), metadata.ErrNotFound)
	_, err = s.c.ReplaceThin(a, half.Thin, 1)
	require.ErrorIs(t, err, metadata.ErrInvalid)
	_, err = s.c.Remove(a)
	require.NoError(t, err)
	require.ErrorIs(t, s.c.AddTemplate(metadata.Template{Name: "t", Thin: a.Thin}), metadata.ErrInvalid, "trash is not reserved")
	require.NoError(t, s.c.Check())
}

func TestLabels(t *testing.T) {
	s := newStore(t)
	a := s.acknowledged("a")
	const room = metadata.MaxLabels - metadata.LabelCost - len("a")
	label := func(name, value string) func(*metadata.Snapshot) error {
		return func(r *metadata.Snapshot) error { r.Labels = map[string]string{name: value}; return nil }
	}
	for _, bad := range []func(*metadata.Snapshot) error{label("a", "\xff"), label("\xff", "a"), label("a", strings.Repeat("x", room+1))} {
		_, err := s.c.Update(a, bad)
		require.ErrorIs(t, err, metadata.ErrInvalid)
		_, err = s.c.Commit(a, "b", func(r *metadata.Snapshot) { _ = bad(r) })
		require.ErrorIs(t, err, metadata.ErrInvalid)
	}
	got, err := s.c.Update(a, label("a", strings.Repeat("x", room)))
	require.NoError(t, err)
	assert.Len(t, got.Labels["a"], room)
	for name, change := range map[string]func(*metadata.Snapshot){
		"key": func(r *metadata.Snapshot) { r.Key = "b" }, "parent": func(r *metadata.Snapshot) { r.Parent = "b" },
		"kind": func(r *metadata.Snapshot) { r.Kind = metadata.Committed }, "thin": func(r *metadata.Snapshot) { r.Thin++ },
		"serial": func(r *metadata.Snapshot) { r.Serial++ }, "lost": func(r *metadata.Snapshot) { r.Lost = true },
	} {
		_, err := s.c.Update(a, func(r *metadata.Snapshot) error { change(r); return nil })
		require.ErrorIs(t, err, metadata.ErrInvalid, name)
	}
}

func TestAdopt(t *testing.T) {
	s := newStore(t)
	a := s.acknowledged("a")
	reserved, err := s.c.Reserve(1, "rollback of a")
	require.NoError(t, err)
	s.c.SetClock(9)
	adopt := func(key string, id dmthin.ThinID) error {
		return s.c.Adopt([]metadata.Snapshot{{Key: key, Kind: metadata.Active, Thin: id, Size: 1}})
	}
	require.ErrorIs(t, adopt("a", 100), metadata.ErrExists)
	require.ErrorIs(t, adopt("b", a.Thin), metadata.ErrInvalid, "it belongs to somebody")
	require.ErrorIs(t, s.c.Adopt([]metadata.Snapshot{{Key: "b", Thin: 100}, {Key: "c", Thin: 100}}), metadata.ErrExists)
	s.c.SkipThins([]dmthin.ThinID{100})
	require.NoError(t, adopt("recovered-100", 100))
	require.NoError(t, adopt("recovered-reserved", reserved))
	require.NoError(t, s.c.Check())
	s.kill()
	require.NoError(t, s.c.Check())
	assert.Equal(t, lifecycle.Active, s.state(100))
	assert.Equal(t, lifecycle.Active, s.state(reserved))
	assert.EqualValues(t, 9, s.c.Clock())
	assert.EqualValues(t, 101, s.create("next").Thin, "later ids are larger")
}

func TestBackup(t *testing.T) {
	s := newStore(t)
	a := s.acknowledged("a")
	half := s.create("half")
	var copied bytes.Buffer
	require.NoError(t, s.c.Backup(&copied))
	_, err := s.c.Remove(a)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, os.WriteFile(path, copied.Bytes(), 0o600))
	old := &store{t: t, path: path}
	old.open()
	require.NoError(t, old.c.Check())
	assert.Equal(t, lifecycle.Active, old.state(a.Thin), "acknowledged, and the copy knows")
	assert.Equal(t, lifecycle.Creating, old.state(half.Thin))
	left, err := filepath.Glob(filepath.Join(filepath.Dir(s.path), ".backup*"))
	require.NoError(t, err)
	assert.Empty(t, left)
	require.ErrorContains(t, s.c.Backup(fullDisk{}), "full")
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, fmt.Errorf("full") }

func TestOldFormatIsUpgraded(t *testing.T) {
	s := newStore(t)
	s.acknowledged("a")
	s.create("b")
	require.NoError(t, s.c.Close())
	// Format 2 had no serials and nothing about acknowledgements.
	db, err := bolt.Open(s.path, 0o600, &bolt.Options{NoFreelistSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte("catalog"))
		for _, key := range []string{"acknowledged", "clock"} {
			if err := meta.Delete([]byte(key)); err != nil {
				return err
			}
		}
		if err := tx.Bucket([]byte("snapshots")).SetSequence(0); err != nil {
			return err
		}
		return meta.Put([]byte("version"), binary.BigEndian.AppendUint32(nil, 2))
	}))
	require.NoError(t, db.Close())
	for key, data := range map[string]string{
		"a": `{"kind":"active","state":"creating","thin":0,"size":1}`,
		"b": `{"kind":"active","state":"ready","thin":1,"size":1}`,
	} {
		putSealed(t, s.path, "snapshots", []byte(key), []byte(data))
	}
	s.open()
	require.NoError(t, s.c.Check())
	assert.Equal(t, lifecycle.Active, s.state(0), "nobody knows, and nothing is dropped for it")
	assert.Equal(t, lifecycle.Active, s.state(1))
	assert.Zero(t, s.c.Clock())
	assert.NotEqual(t, at(s.c, "a").Serial, at(s.c, "b").Serial)
	s.restart()
	require.NoError(t, s.c.Check())
}

func TestResetBeginsAnew(t *testing.T) {
	s := newStore(t)
	for i := range 5 {
		s.acknowledged(fmt.Sprint(i))
	}
	require.NoError(t, s.c.SetPool(metadata.Pool{Name: "web"}))
	require.NoError(t, s.c.SaveAcknowledged())
	require.NoError(t, s.c.Reset())
	assert.Zero(t, s.c.Clock())
	half := s.create("half")
	s.kill()
	assert.Equal(t, lifecycle.Creating, s.state(half.Thin), "acknowledgements of before do not count")
	require.NoError(t, s.c.Check())
}
