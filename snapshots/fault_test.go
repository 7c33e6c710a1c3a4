package snapshots_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/resulttest"
)

// A store in which every verb has something to work on, and a fault that can be
// armed: the i-th ioctl or the i-th catalog write from then on fails, once.
type faulty struct {
	t  *testing.T
	m  *snapstest.Fake
	d  *snapshots.Driver
	mu sync.Mutex

	held        snapstest.Volume
	armed       bool
	left        int          // catalog writes until the fault
	beforeWrite func() error // asked instead, if set
	fired       bool
}

var errDiskFull = fmt.Errorf("catalog: %w", syscall.ENOSPC)

func (f *faulty) config() snapshots.Config {
	c := f.m.Config()
	c.Catalog.BeforeCommit = func(string) error {
		f.mu.Lock()
		if alive := f.beforeWrite; alive != nil {
			f.mu.Unlock()
			return alive()
		}
		defer f.mu.Unlock()
		if !f.armed {
			return nil
		}
		if f.left--; f.left == -1 {
			f.fired = true
			return errDiskFull
		}
		return nil
	}
	return c
}

func (f *faulty) armWrite(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.left, f.fired = true, i, false
}

func (f *faulty) armIoctl(i int, errno syscall.Errno) {
	f.fired = false
	f.m.Kernel.Inject(func(c dmtest.Call) error {
		if c.Index != i {
			return nil
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fired = true
		return errno
	})
}

func (f *faulty) disarm() (fired bool) {
	f.m.Kernel.Inject(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed, f.beforeWrite = false, nil
	return f.fired
}

func newFaulty(t *testing.T) *faulty {
	f := &faulty{t: t, m: snapstest.NewFake(t)}
	ctx := t.Context()
	var err error
	f.d, err = snapshots.CreatePool(ctx, f.config(), f.m.Options())
	require.NoError(t, err)
	do := func(err error) { t.Helper(); require.NoError(t, err) }
	mount := func(m snapshots.Mount, err error) snapstest.Volume {
		t.Helper()
		require.NoError(t, err)
		return f.m.Mount(t, m)
	}
	v := mount(f.d.Prepare(ctx, "tmp", ""))
	do(v.Put("a", "base"))
	do(v.Unmount())
	do(f.d.Commit(ctx, "base", "tmp"))
	for _, key := range []string{"idle", "held"} {
		v := mount(f.d.Prepare(ctx, key, "base"))
		do(v.Put("a", key))
		if key == "held" {
			f.held = v
			continue
		}
		do(v.Unmount())
	}
	_, err = f.d.View(ctx, "view", "base")
	do(err)
	do(f.d.Drain(ctx))
	return f
}

// verb is one operation, what is there when it has succeeded and what is there
// otherwise.
type verb struct {
	name   string
	run    func(context.Context, *faulty) error
	after  map[string]string // key -> content of file a; "-" for no such key
	before map[string]string
}

var verbs = []verb{
	{"prepare", func(ctx context.Context, f *faulty) error { _, err := f.d.Prepare(ctx, "new", "base"); return err },
		map[string]string{"new": "base"}, map[string]string{"new": "-"}},
	{"prepare larger", func(ctx context.Context, f *faulty) error {
		_, err := f.d.Prepare(ctx, "new", "base", snapshots.WithSize(128<<20))
		return err
	}, map[string]string{"new": "base"}, map[string]string{"new": "-"}},
	{"view", func(ctx context.Context, f *faulty) error { _, err := f.d.View(ctx, "new", "base"); return err },
		map[string]string{"new": "base"}, map[string]string{"new": "-"}},
	{"commit", func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "idle") },
		map[string]string{"done": "idle", "idle": "-"}, map[string]string{"done": "-", "idle": "idle"}},
	{"commit held", func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "held") },
		map[string]string{"done": "held", "held": "-"}, map[string]string{"done": "-", "held": "held"}},
	{"remove", func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "idle") },
		map[string]string{"idle": "-"}, map[string]string{"idle": "idle"}},
	{"remove held", func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "held") },
		map[string]string{"held": "-"}, map[string]string{"held": "held"}},
	{"remove view", func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "view") },
		map[string]string{"view": "-"}, map[string]string{"view": "base"}},
	{"clone", func(ctx context.Context, f *faulty) error { _, err := f.d.Clone(ctx, "new", "held"); return err },
		map[string]string{"new": "held"}, map[string]string{"new": "-"}},
	{"roll back", func(ctx context.Context, f *faulty) error { _, err := f.d.Rollback(ctx, "idle", ""); return err },
		map[string]string{"idle": "base"}, map[string]string{"idle": "idle"}},
	{"roll back held", func(ctx context.Context, f *faulty) error { _, err := f.d.Rollback(ctx, "held", "idle"); return err },
		map[string]string{"held": "idle"}, map[string]string{"held": "held"}},
	{"resize", func(ctx context.Context, f *faulty) error { return f.d.Resize(ctx, "idle", 128<<20) },
		map[string]string{"idle": "idle"}, map[string]string{"idle": "idle"}},
	{"usage", func(ctx context.Context, f *faulty) error { _, err := f.d.Usage(ctx, "idle"); return err }, nil, nil},
	{"mounts", func(ctx context.Context, f *faulty) error { _, err := f.d.Mounts(ctx, "idle"); return err }, nil, nil},
	{"label", func(ctx context.Context, f *faulty) error {
		_, err := f.d.SetLabels(ctx, "idle", func(map[string]string) (map[string]string, error) { return map[string]string{"l": "1"}, nil })
		return err
	}, nil, nil},
	{"grow pool", func(ctx context.Context, f *faulty) error { return f.d.GrowPool(ctx, 512<<20, 16<<20) }, nil, nil},
	{"open", func(ctx context.Context, f *faulty) error {
		if err := f.d.Close(); err != nil {
			return err
		}
		d, err := snapshots.Open(ctx, f.config())
		if err == nil {
			f.d = d
		}
		return err
	}, nil, nil},
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
	got := map[string]string{}
	for key := range keys {
		got[key] = f.content(ctx, key)
	}
	return got
}

// Every verb with every ioctl and every catalog write failing in turn: an error
// that names the cause, the state before or after and never between, nothing
// leaked after a new start, and success once the fault is gone.
func TestEveryFaultOfEveryVerb(t *testing.T) {
	row, end := resulttest.Begin(t, "ioctl or catalog write fails", 0)
	defer end()
	for _, v := range verbs {
		for _, kind := range []string{"EIO of ioctl", "ENOMEM of ioctl", "catalog write"} {
			t.Run(v.name+"/"+kind, func(t *testing.T) {
				for i := 0; ; i++ {
					if i > 300 {
						t.Fatal("the fault never ends")
					}
					f := newFaulty(t)
					want := syscall.EIO
					switch kind {
					case "catalog write":
						want = syscall.ENOSPC
						f.armWrite(i)
					case "ENOMEM of ioctl":
						want = syscall.ENOMEM
						f.armIoctl(i, want)
					default:
						f.armIoctl(i, want)
					}
					err := v.run(t.Context(), f)
					fired := f.disarm()
					f.judge(v, err, fired, want, fmt.Sprint(kind, " ", i))
					if !fired {
						require.NoError(t, err)
						break
					}
					row.Points++
				}
			})
		}
	}
}

func (f *faulty) judge(v verb, err error, fired bool, want syscall.Errno, at string) {
	ctx, t := f.t.Context(), f.t
	t.Helper()
	if err != nil {
		require.True(t, fired, "%s: %v", at, err)
		require.ErrorIs(t, err, want, at)
	}
	for _, name := range f.m.Kernel.Devices() {
		d, openErr := f.m.Kernel.Open(name)
		if errors.Is(openErr, fs.ErrNotExist) {
			continue // the reaper was quicker
		}
		require.NoError(t, openErr)
		suspended := d.Suspended()
		require.NoError(t, d.Close())
		require.False(t, suspended, "%s left %s suspended", at, name)
	}
	require.NoError(t, f.held.Unmount())

	// Start again, as after a crash at this point.
	_ = f.d.Close() // it is closed when opening was what failed
	d, openErr := snapshots.Open(ctx, f.config())
	require.NoError(t, openErr, at)
	f.d = d
	if err == nil {
		assert.Equal(t, v.after, nilIfEmpty(f.all(ctx, v.after)), at)
	} else {
		got := f.all(ctx, v.before)
		if !assert.Contains(t, []map[string]string{v.before, v.after}, nilIfEmpty(got), at) {
			return
		}
		if fmt.Sprint(nilIfEmpty(got)) == fmt.Sprint(v.before) {
			require.NoError(t, v.run(ctx, f), "%s: a second try", at)
			assert.Equal(t, v.after, nilIfEmpty(f.all(ctx, v.after)), at)
		}
	}
	f.sweep(at)
}

func nilIfEmpty(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// sweep removes everything: what the pool then holds beside the template leaked.
func (f *faulty) sweep(at string) {
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
	assert.Zero(t, info.Trash, at)
	assert.Empty(t, info.Unknown, at)
	require.NoError(t, f.d.Close())
	c, err := metadata.Open(filepath.Join(f.m.Config().Root, "catalog.db"), metadata.Options{})
	require.NoError(t, err)
	assert.NoError(t, c.Check(), at)
	require.NoError(t, c.Close())
	f.d, err = snapshots.Open(ctx, f.m.Config())
	require.NoError(t, err)
	require.NoError(t, f.d.DestroyPool(ctx))
	assert.Empty(t, f.m.LeftOver(t), at)
}

// The same for the making of a pool: after an error there is nothing, and a second
// try succeeds.
func TestEveryFaultOfMakingAPool(t *testing.T) {
	for _, kind := range []string{"ioctl", "catalog write"} {
		for i := 0; ; i++ {
			require.Less(t, i, 300)
			f := &faulty{t: t, m: snapstest.NewFake(t)}
			if kind == "ioctl" {
				f.armIoctl(i, syscall.EIO)
			} else {
				f.armWrite(i)
			}
			d, err := snapshots.CreatePool(t.Context(), f.config(), f.m.Options())
			fired := f.disarm()
			if err != nil {
				require.True(t, fired, err)
				d, err = snapshots.CreatePool(t.Context(), f.config(), f.m.Options())
			}
			require.NoError(t, err, "%s %d", kind, i)
			_, err = d.Prepare(t.Context(), "a", "")
			require.NoError(t, err)
			require.NoError(t, d.DestroyPool(t.Context()))
			require.Empty(t, f.m.LeftOver(t), "%s %d", kind, i)
			if !fired {
				break
			}
		}
	}
}
