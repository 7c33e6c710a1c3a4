package crash_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/metadatatest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/lifetest"
	"github.com/veneerdm/veneer/test/resulttest"
)

var soakFor = flag.Duration("soak", 10*time.Second, "how long the day in the life is")

// faultyKernel fails one operation of many, as long as it is told to.
type faultyKernel struct {
	devmapper.Transport
	state *faults
}

// faults are those of a whole day, the catalog's too.
type faults struct {
	on     atomic.Bool
	mu     sync.Mutex
	random *rand.Rand
	n      atomic.Int64
}

// strike says whether a fault strikes now, one time in so many.
func (f *faults) strike(oneIn int) bool {
	if !f.on.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.IntN(oneIn) > 0 {
		return false
	}
	f.n.Add(1)
	return true
}

// Control fails creations, loads and messages: what changes nothing when it fails.
func (k faultyKernel) Control(command uint8, buf []byte) error {
	if (command == 3 || command == 9 || command == 14) && k.state.strike(60) {
		return syscall.EIO
	}
	return k.Transport.Control(command, buf)
}

// day is a store that several lives go on in, nearly full.
type day struct {
	*shop
	faults *faults
	d      *snapshots.Driver
	use    sync.RWMutex // held for writing while the store is opened again
}

func (y *day) config(dm *devmapper.Client) snapshots.Config {
	c := snapshots.Config{Root: y.root, DM: dm, Admit: snapshots.DefaultAdmission}
	c.OpenCatalog = func(path string, o metadata.Options) (snapshots.Catalog, error) {
		return metadatatest.Open(path, o, func(string) error {
			if y.faults.strike(80) {
				return syscall.ENOSPC
			}
			return nil
		})
	}
	return c
}

// sample is what must not grow.
type sample struct {
	heap, catalog                    uint64
	descriptors, devices, goroutines int
}

func (y *day) sample() (s sample) {
	y.t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(y.t, err)
	devices, err := y.dm.List("veneer-day")
	require.NoError(y.t, err)
	st, err := os.Stat(filepath.Join(y.root, "catalog.db"))
	require.NoError(y.t, err)
	return sample{m.HeapAlloc, uint64(st.Size()), len(fds), len(devices), runtime.NumGoroutine()}
}

// A day in the life of a node: four lives at once on a pool that is 95 % full, with
// ioctls and catalog writes that fail now and then and restarts of the process. At the
// end of every shift everything is removed, and nothing may have grown.
func TestDayInTheLife(t *testing.T) {
	row, end := resulttest.Begin(t, "day in the life, 95 % full", *seed)
	defer end()
	r := newRig(t)
	y := &day{shop: &shop{rig: r, root: filepath.Join(r.dir, "day")}, faults: &faults{random: rand.New(rand.NewPCG(*seed, 99))}}
	dm, err := devmapper.OpenThrough(func(t devmapper.Transport) devmapper.Transport { return faultyKernel{t, y.faults} })
	require.NoError(t, err)
	defer func() { require.NoError(t, dm.Close()) }()
	ctx := t.Context()
	y.d, err = snapshots.CreatePool(ctx, y.config(dm), snapshots.PoolOptions{Name: "veneer-day", DataSize: 192 << 20, MetadataSize: 16 << 20, BaseSize: lifetest.BaseSize})
	require.NoError(t, err)
	_, err = y.d.Prepare(ctx, "ballast", "", snapshots.WithSize(256<<20))
	require.NoError(t, err)
	require.NoError(t, put(ctx, y.d, "ballast", strings.Repeat("ballast!", 172<<17)))

	var first, last sample
	until := time.Now().Add(*soakFor)
	shifts := 0
	for shift := uint64(0); shifts < 3 || time.Now().Before(until); shift++ {
		long := min(20*time.Second, *soakFor/4)
		y.faults.on.Store(true)
		var group sync.WaitGroup
		for g := range uint64(4) {
			group.Go(func() { row.Points += y.live(shift, g, time.Now().Add(long)) })
		}
		group.Wait()
		y.faults.on.Store(false)
		y.restart(dm)
		y.clear()
		last = y.sample()
		if shifts++; shifts == 2 { // after the first everything is warm
			first = last
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d shifts, %d faults; at first %+v, at last %+v", shifts, y.faults.n.Load(), first, last)
	assert.Less(t, last.heap, first.heap*3/2+4<<20, "memory")
	assert.LessOrEqual(t, last.descriptors, first.descriptors+2, "descriptors")
	assert.LessOrEqual(t, last.devices, first.devices, "devices")
	assert.LessOrEqual(t, last.goroutines, first.goroutines+4, "goroutines")
	assert.LessOrEqual(t, last.catalog, first.catalog*3/2+64<<10, "catalog")
	require.NoError(t, y.d.DestroyPool(ctx))
}

// restart closes the store and opens it again, as a new process would.
func (y *day) restart(dm *devmapper.Client) {
	y.t.Helper()
	y.use.Lock()
	defer y.use.Unlock()
	require.NoError(y.t, y.d.Close())
	d, err := snapshots.Open(y.t.Context(), y.config(dm))
	require.NoError(y.t, err)
	y.d = d
}

// live lives one life until it is time, and counts its operations.
func (y *day) live(shift, g uint64, until time.Time) (done int) {
	ctx := y.t.Context()
	prefix := fmt.Sprintf("d%d-%d-", shift, g)
	life := lifetest.Life{R: rand.New(rand.NewPCG(*seed+shift, g)), Prefix: prefix, Most: 5, Without: []lifetest.Verb{lifetest.GrowPool, lifetest.Reopen, lifetest.Resize}}
	w := lifetest.World{}
	for time.Now().Before(until) && !y.t.Failed() {
		y.use.RLock()
		l := &lifetest.Live{D: y.d, Mount: mountPrivately}
		o := life.Next(w)
		next, class := w.Apply(o)
		err := l.Do(ctx, o)
		done++
		switch {
		case err == nil:
			w = next
		case class == nil && (tolerable(err) || errors.Is(err, snapshots.ErrInUse) || errors.Is(err, snapshots.ErrNotFound)):
			w = y.settled(ctx, l, prefix, w, next, o, err)
		case class == nil:
			y.t.Errorf("%s: %v", o, err)
		}
		y.use.RUnlock()
	}
	return done
}

// settled finds out whether an operation that failed has happened.
func (y *day) settled(ctx context.Context, l *lifetest.Live, prefix string, before, after lifetest.World, o lifetest.Op, cause error) lifetest.World {
	got := lifetest.World{}
	err := l.D.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Key, prefix) {
			got[i.Key] = lifetest.Snapshot{Kind: i.Kind, Parent: i.Parent, Size: i.Size}
		}
		return nil
	})
	everything := map[string]bool{"*": true}
	switch {
	case err != nil:
		y.t.Errorf("%s: %v; then: %v", o, cause, err)
	case forget(before, everything).Diff(got) == "":
		return before
	case forget(after, everything).Diff(got) == "":
		return after
	default:
		y.t.Errorf("%s: %v; afterwards neither before nor after: %s", o, cause, forget(before, everything).Diff(got))
	}
	return before
}

// clear removes everything but the ballast.
func (y *day) clear() {
	y.t.Helper()
	ctx := y.t.Context()
	for range 8 {
		var keys []string
		require.NoError(y.t, y.d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { keys = append(keys, i.Key); return nil }))
		for _, key := range keys {
			if key == "ballast" {
				continue
			}
			if err := y.d.Remove(ctx, key); err != nil {
				require.ErrorIs(y.t, err, snapshots.ErrInUse)
			}
		}
	}
	require.NoError(y.t, y.d.Drain(ctx))
	info, err := y.d.Pool(ctx)
	require.NoError(y.t, err)
	require.Zero(y.t, info.Trash)
	require.Empty(y.t, info.Unknown)
	_, err = y.d.Check(ctx)
	require.NoError(y.t, err)
}
