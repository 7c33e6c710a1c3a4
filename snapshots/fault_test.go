package snapshots_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/resulttest"
	"github.com/veneerdm/veneer/test/waittest"
)

// After a fault the driver goes on, or the store is opened again: each point is judged
// in one of the two ways, and with this flag in both.
var bothWays = flag.Bool("both-ways", false, "judge every fault with and without opening the store again")

// faulty is a store in which every verb has something to work on, and a strike or a
// death that can be armed.
type faulty struct {
	t  *testing.T
	m  *snapstest.Fake
	d  *snapshots.Driver
	mu sync.Mutex

	dir         string
	held        snapstest.Volume
	strike      *strike
	beforeWrite func() error // asked instead of the strike, if set
	dead        bool
}

// newMachine is a store that is not made yet. It is in memory: what a disk does with
// a catalog is tested where the catalog is.
func newMachine(t *testing.T) *faulty {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	dir := t.TempDir()
	return &faulty{t: t, dir: dir, m: snapstest.NewFakeAt(dir)}
}

func (f *faulty) config() snapshots.Config {
	c := f.m.Config()
	c.OpenCatalog = hooked(f.beforeChange)
	c.Host, c.Disks = faultyHost{c.Host, f}, faultyDisks{c.Disks, f}
	return c
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	return newFaultyFor(t, verb{})
}

// newFaultyFor is a store as a verb wants it.
func newFaultyFor(t *testing.T, v verb) *faulty {
	t.Helper()
	f := newMachine(t)
	ctx := t.Context()
	o := f.m.Options()
	if v.xfs {
		o.Filesystem, o.BaseSize = "xfs", 300<<20
	}
	var err error
	f.d, err = snapshots.CreatePool(ctx, f.config(), o)
	require.NoError(t, err)
	do := func(err error) { t.Helper(); require.NoError(t, err) }
	mount := func(m snapshots.Mount, err error) snapstest.Volume {
		t.Helper()
		require.NoError(t, err)
		return f.m.Mount(t, m)
	}
	w := mount(f.d.Prepare(ctx, "tmp", ""))
	do(w.Put("a", "base"))
	do(w.Unmount())
	do(f.d.Commit(ctx, "base", "tmp"))
	for _, key := range []string{"idle", "held"} {
		w := mount(f.d.Prepare(ctx, key, "base"))
		do(w.Put("a", key))
		if key == "held" {
			f.held = w
			continue
		}
		do(w.Unmount())
	}
	_, err = f.d.View(ctx, "view", "base")
	do(err)
	do(f.d.Drain(ctx))
	if v.from != nil {
		v.from(ctx, f)
	}
	return f
}

// content reads file a of a snapshot, whatever its kind; "-" when there is none.
func (f *faulty) content(ctx context.Context, key string) string {
	i, err := f.d.Stat(ctx, key)
	if errors.Is(err, snapshots.ErrNotFound) {
		return "-"
	}
	require.NoError(f.t, err)
	var m snapshots.Mount
	if i.Kind == snapshots.KindCommitted {
		m, err = f.d.View(ctx, key+" look", key)
		defer func() { require.NoError(f.t, f.d.Remove(ctx, key+" look")) }()
	} else {
		m, err = f.d.Mounts(ctx, key)
	}
	require.NoError(f.t, err)
	v := f.m.Mount(f.t, m)
	content, err := v.Get("a")
	require.NoError(f.t, errors.Join(err, v.Unmount()))
	return content
}

func (f *faulty) all(ctx context.Context, keys map[string]string) map[string]string {
	var got map[string]string
	for key := range keys {
		if got == nil {
			got = map[string]string{}
		}
		got[key] = f.content(ctx, key)
	}
	return got
}

// eachStrike runs try with one strike after the other, until there is no further call
// to strike at. again says that try is to open the store again before it judges.
func eachStrike(t *testing.T, from source, row *resulttest.Row, try func(s *strike, again bool)) {
	t.Helper()
	for call := 0; ; call++ {
		require.Less(t, call, 300, "the faults never end")
		for way, more := 0, true; more; way++ {
			judged := []bool{(call+way)%2 == 0}
			if *bothWays {
				judged = []bool{true, false}
			}
			for _, again := range judged {
				s := &strike{source: from, call: call, way: way}
				try(s, again)
				if t.Failed() {
					t.Fatalf("%s, opened again: %t", s, again)
				}
				var reached bool
				if reached, more = s.reached(); !reached && way == 0 {
					return
				}
				if s.fired {
					row.Points++
				}
			}
		}
	}
}

// Every verb with every ioctl, every catalog write and every call of a port failing in
// turn, in each way that it can: an error that names the cause, the state before or
// after and never between, nothing leaked, and success once the fault is gone.
func TestEveryFaultOfEveryVerb(t *testing.T) {
	for _, from := range []source{ioctls, writes, ports} {
		row, end := resulttest.Begin(t, string(from)+" fails", 0)
		for _, v := range verbs {
			t.Run(v.name+"/"+string(from), func(t *testing.T) {
				eachStrike(t, from, row, func(s *strike, again bool) {
					f := newFaultyFor(t, v)
					f.t = t
					f.arm(s)
					err := v.run(t.Context(), f)
					f.disarm()
					f.judge(v, err, s, again)
				})
			})
		}
		end()
	}
}

// judge looks at what a verb answered, and at what it left.
func (f *faulty) judge(v verb, err error, s *strike, again bool) {
	t := f.t
	t.Helper()
	if err != nil {
		require.True(t, s.fired, "%s: %v", s, err)
		require.ErrorIs(t, err, s.failure.err, s)
		if s.failure.class != nil {
			require.ErrorIs(t, err, s.failure.class, s)
		}
	}
	f.nothingSuspended(s)
	require.NoError(t, f.held.Unmount())
	if again || f.d == nil {
		_ = f.d.Close() // it is closed when opening was what failed
		f.open(s)
	}
	f.outcome(v, err, s)
}

func (f *faulty) open(at fmt.Stringer) {
	f.t.Helper()
	d, err := snapshots.Open(f.t.Context(), f.config())
	require.NoError(f.t, err, at)
	f.d = d
}

func (f *faulty) nothingSuspended(at fmt.Stringer) {
	f.t.Helper()
	for _, name := range f.m.Kernel.Devices() {
		d, err := f.m.Kernel.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the reaper was quicker
		}
		require.NoError(f.t, err)
		suspended := d.Suspended()
		require.NoError(f.t, d.Close())
		require.False(f.t, suspended, "%s left %s suspended", at, name)
	}
}

// outcome is the state before the verb or after it, from which it succeeds, and
// nothing beside it.
func (f *faulty) outcome(v verb, err error, at fmt.Stringer) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	if err == nil {
		require.Equal(t, v.after, f.all(ctx, v.after), at)
	} else {
		got := f.all(ctx, v.before)
		require.Contains(t, []map[string]string{v.before, v.after}, got, at)
		if fmt.Sprint(got) == fmt.Sprint(v.before) {
			require.NoError(t, v.run(ctx, f), "%s: a second try", at)
			require.Equal(t, v.after, f.all(ctx, v.after), at)
		}
	}
	f.sweep(at)
}

// sweep removes everything: what the pool then holds beside the template leaked.
func (f *faulty) sweep(at fmt.Stringer) {
	ctx, t := f.t.Context(), f.t
	t.Helper()
	for range 3 {
		var keys []string
		require.NoError(t, f.d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { keys = append(keys, i.Key); return nil }))
		for _, key := range keys {
			if err := f.d.Remove(ctx, key); err != nil {
				require.ErrorIs(t, err, snapshots.ErrInUse, at)
			}
		}
	}
	require.NoError(t, f.d.Drain(ctx))
	info, err := f.d.Pool(ctx)
	require.NoError(t, err)
	require.Zero(t, info.Trash, at)
	require.Empty(t, info.Unknown, at)
	f.m.CheckPool(t)
	require.NoError(t, f.d.Close())
	c, err := metadata.Open(filepath.Join(f.m.Config().Root, "catalog.db"), metadata.Options{})
	require.NoError(t, err)
	require.NoError(t, c.Check(), at)
	require.NoError(t, c.Close())
	f.open(at)
	require.NoError(t, f.d.DestroyPool(ctx), at)
	require.Empty(t, f.m.LeftOver(t), at)
	require.NoError(t, os.RemoveAll(f.dir))
}

// The same for the making of a pool: after an error there is nothing, and a second
// try succeeds.
func TestEveryFaultOfMakingAPool(t *testing.T) {
	for _, from := range []source{ioctls, writes, ports} {
		row, end := resulttest.Begin(t, string(from)+" fails, making a pool", 0)
		t.Run(string(from), func(t *testing.T) {
			eachStrike(t, from, row, func(s *strike, _ bool) {
				f := newMachine(t)
				f.arm(s)
				d, err := snapshots.CreatePool(t.Context(), f.config(), f.m.Options())
				f.disarm()
				if err != nil {
					require.True(t, s.fired, err)
					require.ErrorIs(t, err, s.failure.err, s)
					d, err = snapshots.CreatePool(t.Context(), f.config(), f.m.Options())
				}
				require.NoError(t, err, s)
				_, err = d.Prepare(t.Context(), "a", "")
				require.NoError(t, err, s)
				require.NoError(t, d.DestroyPool(t.Context()), s)
				require.Empty(t, f.m.LeftOver(t), s)
				require.NoError(t, os.RemoveAll(f.dir))
			})
		})
		end()
	}
}

// The same for the end of a pool. What began to be destroyed is either whole, or gone
// for whoever makes the next one; the driver itself can be asked again.
func TestEveryFaultOfDestroyingAPool(t *testing.T) {
	for _, from := range []source{ioctls, writes, ports} {
		row, end := resulttest.Begin(t, string(from)+" fails, destroying a pool", 0)
		t.Run(string(from), func(t *testing.T) {
			eachStrike(t, from, row, func(s *strike, again bool) {
				f := newFaulty(t)
				ctx := t.Context()
				require.NoError(t, f.held.Unmount())
				f.arm(s)
				err := f.d.DestroyPool(ctx)
				f.disarm()
				if err == nil {
					require.Empty(t, f.m.LeftOver(t), s)
					return
				}
				require.ErrorIs(t, err, s.failure.err, s)
				if drain := f.d.Drain(waittest.Context(t)); drain != nil {
					require.ErrorIs(t, drain, snapshots.ErrPoolState, "%s: what is half destroyed takes no more", s)
					_, err := f.d.Stat(ctx, "base")
					require.ErrorIs(t, err, snapshots.ErrPoolState, s)
				}
				if !again {
					if from == writes && s.call == 0 {
						// Nothing has begun: the background works on.
						require.NoError(t, f.d.Drain(waittest.Context(t)), s)
					}
					require.NoError(t, f.d.DestroyPool(ctx), "%s: a second try", s)
					require.Empty(t, f.m.LeftOver(t), s)
					return
				}
				require.NoError(t, f.d.Close())
				f.d, err = snapshots.Open(ctx, f.config())
				if err == nil {
					keys := map[string]string{"base": "base", "idle": "idle", "held": "held", "view": "base"}
					require.Equal(t, keys, f.all(ctx, keys), s)
				} else {
					require.ErrorIs(t, err, snapshots.ErrNotFound, s)
					f.d, err = snapshots.CreatePool(ctx, f.config(), f.m.Options())
					require.NoError(t, err, s)
				}
				f.sweep(s)
			})
		})
		end()
	}
}

// And for a pool that is to rest: after an error it is opened again, with everything
// in it, and can be put to rest.
func TestEveryFaultOfDeactivating(t *testing.T) {
	for _, from := range []source{ioctls, ports} {
		row, end := resulttest.Begin(t, string(from)+" fails, deactivating a pool", 0)
		t.Run(string(from), func(t *testing.T) {
			eachStrike(t, from, row, func(s *strike, _ bool) {
				f := newFaulty(t)
				ctx := t.Context()
				require.NoError(t, f.held.Unmount())
				f.arm(s)
				err := f.d.Deactivate(ctx)
				f.disarm()
				if err != nil {
					require.ErrorIs(t, err, s.failure.err, s)
					f.nothingSuspended(s)
					require.NoError(t, f.d.Close())
					f.open(s)
					require.NoError(t, f.d.Deactivate(ctx), s)
				}
				for _, left := range f.m.LeftOver(t) {
					require.Contains(t, left, f.dir+"/", "%s: only the disks stay", s)
					require.NotContains(t, left, "attached", s)
				}
				f.open(s)
				keys := map[string]string{"base": "base", "idle": "idle", "held": "held", "view": "base"}
				require.Equal(t, keys, f.all(ctx, keys), s)
				f.sweep(s)
			})
		})
		end()
	}
}
