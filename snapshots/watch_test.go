package snapshots_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// noDescriptors is a kernel whose control node cannot be opened again while it is full.
type noDescriptors struct {
	*dmtest.Kernel
	full  atomic.Bool
	opens atomic.Int32
}

func (n *noDescriptors) Fork() (devmapper.Transport, error) {
	n.opens.Add(1)
	if n.full.Load() {
		return nil, syscall.EMFILE
	}
	return n.Kernel.Fork()
}

// watched is a store whose log is kept, on a clock that runs ahead whenever everybody waits.
type watched struct {
	t    *testing.T
	m    *snapstest.Fake
	dm   *noDescriptors
	d    *snapshots.Driver
	logs *logtest.Hook
}

func newWatched(t *testing.T, prepare func(*watched)) *watched {
	t.Helper()
	w := &watched{t: t, m: snapstest.NewFakeAt(t.TempDir())}
	w.dm = &noDescriptors{Kernel: w.m.Kernel}
	prepare(w)
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.InfoLevel)
	w.logs = hook
	c := w.m.Config()
	c.DM, c.Log = devmapper.New(w.dm), log
	var err error
	w.d, err = snapshots.CreatePool(t.Context(), c, w.m.Options())
	require.NoError(t, err)
	return w
}

// said counts the log's entries that hold a text.
func (w *watched) said(text string) (n int) {
	for _, e := range w.logs.AllEntries() {
		if strings.Contains(e.Message, text) {
			n++
		}
	}
	return n
}

// event raises an event of the device-mapper, and waits until everybody has seen it.
func (w *watched) event() {
	w.t.Helper()
	require.NoError(w.t, w.m.Kernel.CreateDevice("another", ""))
	name, err := devmapper.NewName("another")
	require.NoError(w.t, err)
	require.NoError(w.t, devmapper.New(w.m.Kernel).Remove(devmapper.ByName(name)))
	w.pass(time.Minute)
}

func (w *watched) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

var fakeMetadata = devmapper.DevNo{Major: 7, Minor: 1}

// fill adds thin devices, each of which takes a block of metadata.
func (w *watched) fill(from, to uint32) {
	w.t.Helper()
	for id := from; id < to; id++ {
		require.True(w.t, w.m.Kernel.AddThin(fakeMetadata, id))
	}
}

// One failed open of the control node does not end the watching of events.
func TestWatchingOutlivesAFailedOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, func(w *watched) { w.dm.full.Store(true) })
		w.pass(time.Hour)
		assert.Equal(t, 1, w.said("events cannot be waited for"))
		opens := w.dm.opens.Load()
		assert.Greater(t, opens, int32(60), "it is tried again and again")
		assert.Less(t, opens, int32(80), "at ever longer intervals")
		// The pool is looked at meanwhile.
		w.fill(1000, 2700)
		w.pass(2 * time.Minute)
		assert.Equal(t, 1, w.said("pool metadata is filling up"))

		w.dm.full.Store(false)
		w.pass(2 * time.Minute)
		w.event()
		assert.Equal(t, 1, w.said("events are noticed again"))
		w.dm.full.Store(true)
		w.event()
		w.pass(time.Hour)
		assert.Equal(t, 2, w.said("events cannot be waited for"), "once for each change of state")
		require.NoError(t, w.d.Close())
	})
}

func TestKernelWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, func(w *watched) { w.m.Kernel.SetInterface(36) })
		w.pass(time.Hour)
		assert.Equal(t, 1, w.said("this kernel has no pool events"))
		assert.EqualValues(t, 1, w.dm.opens.Load(), "it will not have them later")
		require.NoError(t, w.d.Close())
	})
}

// A pool whose metadata is full turns read-only, and cannot even delete.
func TestFillingMetadataIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, func(*watched) {})
		w.event()
		assert.Zero(t, w.said("filling up"))
		s, ok := w.m.Kernel.Pool(fakeMetadata)
		require.True(t, ok)
		used := uint32(s.MetaBlocks)/10 + 8
		id := uint32(1000)
		for i, percent := range []uint32{79, 80, 81, 90, 95, 97} {
			more := uint32(s.MetaBlocks)*percent/100 + 1 - used
			w.fill(id, id+more)
			id, used = id+more, used+more
			w.event()
			assert.Equal(t, []int{0, 1, 1, 2, 3, 3}[i], w.said("pool metadata is filling up"), "%d %%", percent)
		}
		assert.Zero(t, w.said("pool data"))
		require.NoError(t, w.d.Close())
	})
}

// What the pool does is logged once, when it begins and when it ends.
func TestChangesOfThePoolAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, func(*watched) {})
		lose := func() {
			w.m.Kernel.LoseCommit(fakeMetadata)
			_, err := w.d.Prepare(t.Context(), "lost", "")
			require.Error(t, err)
		}
		lose()
		w.event()
		w.event()
		assert.Equal(t, 1, w.said("pool does not take writes"))
		w.m.Kernel.Repair(fakeMetadata)
		w.event()
		w.event()
		assert.Equal(t, 1, w.said("pool takes writes again"))
		w.m.Kernel.Inject(func(c dmtest.Call) error {
			if c.Op == "table status" {
				return syscall.EIO
			}
			return nil
		})
		w.event()
		w.event()
		assert.Equal(t, 1, w.said("pool does not answer"))
		w.m.Kernel.Inject(nil)
		w.event()
		w.event()
		assert.Equal(t, 1, w.said("pool answers again"))
		require.NoError(t, w.d.Close())
	})
}

// Closing the driver ends the watching, whatever it waits for.
func TestWatchingEndsWithTheDriver(t *testing.T) {
	for _, full := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t, func(w *watched) { w.dm.full.Store(full) })
			w.pass(10 * time.Second)
			before := time.Now()
			require.NoError(t, w.d.Close())
			assert.Equal(t, before, time.Now(), "no pause is waited for")
		})
	}
}
