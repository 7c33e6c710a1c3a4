package crash_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/lifetest"
	"github.com/veneerdm/veneer/test/resulttest"
	"github.com/veneerdm/veneer/test/waittest"
	"github.com/veneerdm/veneer/thinpool"
)

// pantry is a store whose disks can be filled.
type pantry struct {
	*rig
	cat    *shim
	d      *snapshots.Driver
	config snapshots.Config
	live   *lifetest.Live
	kept   map[string]string // what was acknowledged, by key
}

// newPantry makes a store in a filesystem of so many MiB.
func (r *rig) newPantry(mib int64, o snapshots.PoolOptions) *pantry {
	r.t.Helper()
	p := &pantry{rig: r, cat: r.shim("pantry", mib), kept: map[string]string{}}
	r.run("mkfs.ext4", "-q", "-m", "0", "-N", "512", p.cat.path())
	r.mount(p.cat.path())
	o.Name, o.BaseSize = "veneer-pantry", lifetest.BaseSize
	p.config = snapshots.Config{Root: filepath.Join(r.mnt, "store"), Admit: snapshots.DefaultAdmission}
	var err error
	p.d, err = snapshots.CreatePool(r.t.Context(), p.config, o)
	require.NoError(r.t, err)
	p.live = &lifetest.Live{D: p.d, Mount: mountPrivately}
	p.prepare("base-work", "")
	p.put("base-work", "base")
	p.do(func(ctx context.Context) error { return p.d.Commit(ctx, "base", "base-work") })
	p.kept = map[string]string{"base": "base"}
	for _, key := range []string{"c", "victim"} {
		p.prepare(key, "base")
		p.put(key, key)
	}
	return p
}

func (p *pantry) do(f func(context.Context) error) {
	p.t.Helper()
	require.NoError(p.t, f(p.t.Context()))
}

func (p *pantry) prepare(key, parent string) {
	p.t.Helper()
	p.do(func(ctx context.Context) error { _, err := p.d.Prepare(ctx, key, parent); return err })
}

func (p *pantry) put(key, content string) {
	p.t.Helper()
	p.do(func(ctx context.Context) error { return put(ctx, p.d, key, content) })
	p.kept[key] = content
}

// fill writes into a snapshot until it takes no more, and says why.
func (p *pantry) fill(key string, mib int) error {
	m, err := p.d.Mounts(p.t.Context(), key)
	require.NoError(p.t, err)
	tree, err := m.Open()
	if err != nil {
		return err
	}
	f, err := os.Create(tree.Path() + "/filling")
	if err == nil {
		_, err = f.Write([]byte(strings.Repeat("x", mib<<20)))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	return errors.Join(err, tree.Close())
}

// longEnough is what an operation may take that waits for space: it is to end by itself
// or with its context, however long that lasts.
const longEnough = time.Minute

// attempts tries every verb while something is full. Each ends by itself or with its
// context; one that fails changes nothing.
func (p *pantry) attempts(row *resulttest.Row) {
	p.t.Helper()
	w := p.list()
	for _, o := range []lifetest.Op{
		{Verb: lifetest.Prepare, Key: "new", Other: "base"}, {Verb: lifetest.View, Key: "view", Other: "base"},
		{Verb: lifetest.Clone, Key: "twin", Other: "c"}, {Verb: lifetest.CloneHeld, Key: "twin2", Other: "c"},
		{Verb: lifetest.Rollback, Key: "c"}, {Verb: lifetest.Resize, Key: "c", Size: 80 << 20},
		{Verb: lifetest.Label, Key: "c"}, {Verb: lifetest.CommitHeld, Key: "twin", Other: "made"},
	} {
		ctx, cancel := context.WithTimeout(p.t.Context(), longEnough)
		err := waittest.Ends(func() error { return p.live.Do(ctx, o) })
		cancel()
		row.Points++
		require.NotErrorIs(p.t, err, waittest.ErrHang, o.String())
		next, class := w.Apply(o)
		switch {
		case err == nil:
			require.NoError(p.t, class, o.String())
			w = next
		case class == nil:
			require.True(p.t, tolerable(err), "%s: %v", o, err)
		}
		if o.Verb == lifetest.Rollback && err == nil {
			p.kept["c"] = "base"
		}
		got, everything := p.list(), map[string]bool{"*": true}
		w, next = forget(w, everything), forget(next, everything)
		diff := w.Diff(got)
		if diff != "" && err != nil && class == nil {
			require.Empty(p.t, next.Diff(got), "%s answered %v", o, err)
			w = next
			continue
		}
		require.Empty(p.t, diff, "%s answered %v", o, err)
	}
}

// list is what is there, without the contents: a full pool mounts nothing that has a
// journal to write.
func (p *pantry) list() lifetest.World {
	p.t.Helper()
	w := lifetest.World{}
	require.NoError(p.t, p.d.Walk(p.t.Context(), func(_ context.Context, i snapshots.Info) error {
		w[i.Key] = lifetest.Snapshot{Kind: i.Kind, Parent: i.Parent, Size: i.Size}
		return nil
	}))
	return w
}

// tolerable says whether an error is one of the classes that fullness has.
func tolerable(err error) bool {
	for _, class := range []error{snapshots.ErrNoSpace, snapshots.ErrPoolState, syscall.ENOSPC, syscall.EIO, syscall.EROFS, devmapper.ErrNoSpace, context.DeadlineExceeded} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// over removes everything but what was kept, has the space come back, and looks that
// nothing acknowledged is lost, before and after a new start.
func (p *pantry) over(row *resulttest.Row) {
	p.t.Helper()
	ctx := p.t.Context()
	for _, again := range []bool{false, true} {
		if again {
			require.NoError(p.t, p.d.Close())
			d, err := snapshots.Open(ctx, p.config)
			require.NoError(p.t, err)
			p.d, p.live.D = d, d
		}
		w, err := p.live.Look(ctx, func(key string) bool { return p.kept[key] != "" })
		require.NoError(p.t, err)
		require.Equal(p.t, p.kept, w.Contents())
		row.Points++
	}
	_, err := p.d.Prepare(ctx, "after", "base")
	require.NoError(p.t, err, "there is room again")
	require.NoError(p.t, put(ctx, p.d, "after", "after"))
	_, err = p.d.Check(ctx)
	require.NoError(p.t, err)
}

func (p *pantry) end() {
	p.t.Helper()
	require.NoError(p.t, p.d.DestroyPool(context.WithoutCancel(p.t.Context())))
	p.unmount()
	p.cat.close()
}

func (p *pantry) used() (data, meta uint64) {
	p.t.Helper()
	i, err := p.d.Pool(p.t.Context())
	require.NoError(p.t, err)
	w, ok := i.Status.(thinpool.Working)
	require.True(p.t, ok, "%v", i.Status)
	return uint64(w.UsedData), uint64(w.UsedMeta)
}

// removal always works, and gives the space back.
func (p *pantry) removal(row *resulttest.Row, key string) {
	p.t.Helper()
	ctx := waittest.Context(p.t)
	before, _ := p.used()
	require.NoError(p.t, waittest.Ends(func() error { return p.d.Remove(ctx, key) }), "removing works")
	require.NoError(p.t, waittest.Ends(func() error { return p.d.Drain(ctx) }))
	after, _ := p.used()
	require.Less(p.t, after, before, "removing gives data blocks back")
	delete(p.kept, key)
	row.Points++
}

func TestEverythingFull(t *testing.T) {
	r := newRig(t)
	row, end := resulttest.Begin(t, "full: data, metadata, disks, inodes", *seed)
	defer end()
	small := snapshots.PoolOptions{DataSize: 48 << 20, MetadataSize: 8 << 20}
	t.Run("data, error mode", func(t *testing.T) {
		p := r.newPantry(256, small)
		defer p.end()
		require.Error(t, p.fill("victim", 60))
		p.attempts(row)
		p.removal(row, "victim")
		p.over(row)
	})
	t.Run("data, queue mode, grown", func(t *testing.T) {
		o := small
		o.QueueWhenFull = true
		snapstest.QueueForever(t)
		p := r.newPantry(512, o)
		defer p.end()
		wrote := make(chan error, 1)
		go func() { wrote <- p.fill("victim", 50) }()
		p.waitFull()
		select {
		case err := <-wrote:
			require.Fail(t, "the writer did not wait", "%v", err)
		default:
		}
		p.do(func(ctx context.Context) error {
			return waittest.Ends(func() error { return p.d.GrowPool(ctx, 128<<20, 0) })
		})
		require.NoError(t, <-wrote, "growing wakes the writer")
		row.Points++
		p.removal(row, "victim")
		p.over(row)
	})
	t.Run("metadata", func(t *testing.T) { r.fullMetadata(t, row) })
	t.Run("disk of the pool's files", func(t *testing.T) {
		p := r.newPantry(96, snapshots.PoolOptions{DataSize: 512 << 20, MetadataSize: 8 << 20})
		defer p.end()
		require.Error(t, p.fill("victim", 60), "the file below has no room")
		p.attempts(row)
		p.removal(row, "victim")
		p.over(row)
	})
	t.Run("disk of the catalog", func(t *testing.T) {
		p := r.newPantry(96, small)
		defer p.end()
		full := p.fillDisk()
		p.attempts(row)
		require.NoError(t, os.Remove(full))
		p.removal(row, "victim")
		p.over(row)
	})
	t.Run("inodes of the store's disk", func(t *testing.T) {
		p := r.newPantry(96, small)
		defer p.end()
		dir := p.fillInodes()
		p.attempts(row)
		p.removal(row, "victim")
		require.NoError(t, os.RemoveAll(dir))
		p.over(row)
	})
}

// fullMetadata maps single blocks all over snapshots until the metadata is used up,
// with admission out of the way. A pool without metadata cannot even delete: growing
// brings it back.
func (r *rig) fullMetadata(t *testing.T, row *resulttest.Row) {
	t.Helper()
	p := r.newPantry(512, snapshots.PoolOptions{DataSize: 256 << 20, MetadataSize: 2 << 20})
	defer p.end()
	ctx := t.Context()
	require.NoError(t, p.d.Close())
	admit := p.config.Admit
	p.config.Admit = snapshots.Admission{}
	var err error
	p.d, err = snapshots.Open(ctx, p.config)
	require.NoError(t, err)
	p.live.D = p.d
	made := 0
	for ; made < 2000; made++ {
		key := fmt.Sprint("many", made)
		if _, err = p.d.Prepare(ctx, key, "base"); err == nil {
			err = put(ctx, p.d, key, key) // breaks the sharing of mappings
		}
		if err != nil {
			break
		}
	}
	require.Error(t, err, "the metadata is used up after %d snapshots", made)
	require.True(t, tolerable(err), "%v", err)
	row.Points++
	// Removing answers, whatever the pool can do about it now.
	require.NoError(t, p.d.Remove(ctx, "many0"))
	require.NoError(t, p.d.Drain(ctx))
	p.do(func(ctx context.Context) error {
		return waittest.Ends(func() error { return p.d.GrowPool(ctx, 0, 16<<20) })
	})
	i, err := p.d.Pool(ctx)
	require.NoError(t, err)
	if w := i.Status.(thinpool.Working); w.NeedsCheck {
		// The kernel wants it checked before it writes again.
		require.NoError(t, p.d.Close())
		require.NoError(t, snapshots.TakeDown(ctx, p.config))
		_, err := snapshots.RepairPool(ctx, p.config)
		require.NoError(t, err)
		p.config.Admit = admit
		p.d, err = snapshots.Open(ctx, p.config)
		require.NoError(t, err)
		p.live.D = p.d
		p.do(func(ctx context.Context) error { return p.d.GrowPool(ctx, 0, 16<<20) })
	}
	row.Points++
	for n := 1; n <= made; n++ {
		if err := p.d.Remove(ctx, fmt.Sprint("many", n)); n < made {
			require.NoError(t, err)
		}
	}
	require.NoError(t, p.d.Drain(ctx))
	p.over(row)
}

func (p *pantry) waitFull() {
	p.t.Helper()
	waittest.Until(p.t, "the pool fills up", func() bool {
		i, err := p.d.Pool(p.t.Context())
		w, ok := i.Status.(thinpool.Working)
		return err == nil && ok && w.Mode == thinpool.ModeNoSpace
	})
}

// fillDisk fills the filesystem that the store is on.
func (p *pantry) fillDisk() (file string) {
	p.t.Helper()
	file = filepath.Join(p.mnt, "filling")
	f, err := os.Create(file)
	require.NoError(p.t, err)
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			require.ErrorIs(p.t, err, unix.ENOSPC)
			block = block[:len(block)/2/512*512]
		}
	}
	_ = f.Sync() // of what it took
	require.NoError(p.t, f.Close())
	return file
}

// fillInodes takes every inode of the filesystem that the store is on.
func (p *pantry) fillInodes() (dir string) {
	p.t.Helper()
	dir = filepath.Join(p.mnt, "inodes")
	require.NoError(p.t, os.Mkdir(dir, 0o700))
	for n := 0; ; n++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o600); err != nil {
			require.ErrorIs(p.t, err, unix.ENOSPC)
			return dir
		}
	}
}
