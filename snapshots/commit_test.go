package snapshots_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// observed is a store whose ioctls and calls of the port Host are written down, with an
// active snapshot "work" that has a file.
type observed struct {
	snapshots.Host
	t *testing.T
	m *snapstest.Fake
	d *snapshots.Driver

	mu          sync.Mutex
	steps       []string
	replay      func() error // instead of the machine's, if set
	afterSettle func()
}

func observe(t *testing.T) *observed {
	t.Helper()
	o := &observed{t: t, m: snapstest.NewFake(t)}
	c := o.m.Config()
	o.Host = c.Host
	c.Host = o
	c.OpenCatalog = hooked(o.change)
	var err error
	o.d, err = snapshots.CreatePool(t.Context(), c, o.m.Options())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.d.DestroyPool(context.WithoutCancel(t.Context()))) })
	v := o.m.Mount(t, o.prepared())
	require.NoError(t, v.Put("a", "content"))
	require.NoError(t, v.Unmount())
	return o
}

// change is the fault hook of the catalog. The background may save acknowledgements.
func (o *observed) change(what string) error {
	if what != "save acknowledged" {
		o.step("catalog")
	}
	return nil
}

func (o *observed) prepared() snapshots.Mount {
	m, err := o.d.Prepare(o.t.Context(), "work", "")
	require.NoError(o.t, err)
	return m
}

func (o *observed) mount() snapshots.Mount {
	m, err := o.d.Mounts(o.t.Context(), "work")
	require.NoError(o.t, err)
	return m
}

func (o *observed) step(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps = append(o.steps, s)
}

func (o *observed) Settle(ctx context.Context, device string) (filesystem.State, error) {
	o.step("flush and look")
	s, err := o.Host.Settle(ctx, device)
	if f := o.afterSettle; f != nil {
		o.afterSettle = nil
		f()
	}
	return s, err
}

func (o *observed) Replay(ctx context.Context, m snapshots.Mount) error {
	o.step("replay")
	if o.replay != nil {
		return o.replay()
	}
	return o.Host.Replay(ctx, m)
}

// commit commits "work", and gives the steps that it took.
func (o *observed) commit() ([]string, error) {
	o.mu.Lock()
	o.steps = nil
	o.mu.Unlock()
	o.m.Kernel.Inject(func(c dmtest.Call) error {
		if c.Detail == "" || c.Op != "message" {
			o.step(c.Op)
		} else {
			o.step(c.Op + " " + c.Detail)
		}
		return nil
	})
	err := o.d.Commit(o.t.Context(), "layer", "work")
	o.m.Kernel.Inject(nil)
	o.mu.Lock()
	defer o.mu.Unlock()
	changes := slices.DeleteFunc(slices.Clone(o.steps), func(s string) bool {
		return s == "info" || s == "arm poll" || s == "table status" // the watch of events asks, too
	})
	return changes, err
}

func TestStepsOfACommit(t *testing.T) {
	crash := func(o *observed) { o.m.Crash(o.t, o.m.Mount(o.t, o.mount())) }
	reboot := func(o *observed) {
		require.NoError(o.t, o.d.Close())
		o.m.Reboot(o.t)
		c := o.m.Config()
		c.Host = o
		c.OpenCatalog = hooked(o.change)
		var err error
		o.d, err = snapshots.Open(o.t.Context(), c)
		require.NoError(o.t, err)
	}
	for name, c := range map[string]struct {
		from func(o *observed)
		want []string
	}{
		"clean":             {func(*observed) {}, []string{"flush and look", "remove", "catalog"}},
		"dirty":             {crash, []string{"flush and look", "replay", "flush and look", "remove", "catalog"}},
		"clean, not active": {reboot, []string{"create", "table load", "suspend or resume", "flush and look", "remove", "catalog"}},
		"dirty, not active": {func(o *observed) { crash(o); reboot(o) }, []string{"create", "table load", "suspend or resume", "flush and look", "replay", "flush and look", "remove", "catalog"}},
		"held and clean":    {func(o *observed) { o.t.Cleanup(o.m.Hold(o.t, o.mount())) }, []string{"catalog", "suspend or resume", "message create_snap 2 1", "suspend or resume", "create", "table load", "suspend or resume", "flush and look", "remove", "catalog"}},
		"held and dirty":    {func(o *observed) { crash(o); o.t.Cleanup(o.m.Hold(o.t, o.mount())) }, []string{"catalog", "suspend or resume", "message create_snap 2 1", "suspend or resume", "create", "table load", "suspend or resume", "flush and look", "replay", "flush and look", "remove", "catalog"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t)
			c.from(o)
			steps, err := o.commit()
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(steps), len(c.want))
			assert.Equal(t, c.want, steps[:len(c.want)], "what follows is the reaper's")
		})
	}
}

// A log that cannot be replayed: nothing is committed, and the snapshot stays.
func TestCommitOfAFilesystemThatDoesNotMount(t *testing.T) {
	for name, c := range map[string]struct {
		replay func() error
		want   error
	}{
		"corrupt":     {func() error { return syscall.EUCLEAN }, class.Invalid},
		"pool full":   {func() error { return syscall.ENOSPC }, class.NoSpace},
		"disk broken": {func() error { return syscall.EIO }, syscall.EIO},
		"still dirty": {func() error { return nil }, class.Invalid},
	} {
		for _, held := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				o := observe(t)
				o.m.Crash(t, o.m.Mount(t, o.mount()))
				release := func() {}
				if held {
					release = o.m.Hold(t, o.mount())
				}
				before := o.m.Kernel.Devices()
				o.replay = c.replay
				_, err := o.commit()
				release()
				require.ErrorIs(t, err, c.want)
				assert.ErrorContains(t, err, "cannot be replayed")
				if !errors.Is(c.want, class.Invalid) {
					require.NotErrorIs(t, err, class.Invalid)
				}
				require.NoError(t, o.d.Drain(t.Context()))
				assert.ElementsMatch(t, before, o.m.Kernel.Devices())
				_, err = o.d.Stat(t.Context(), "layer")
				require.ErrorIs(t, err, class.NotFound)
				o.replay = nil
				_, err = o.commit()
				require.NoError(t, err)
			})
		}
	}
}

// Who opens the device during the flush has the filesystem: nothing is mounted beside
// it, and a copy is committed.
func TestOpenedDuringTheFlush(t *testing.T) {
	o := observe(t)
	o.m.Crash(t, o.m.Mount(t, o.mount()))
	m := o.mount()
	o.afterSettle = func() { t.Cleanup(o.m.Hold(t, m)) }
	steps, err := o.commit()
	require.NoError(t, err)
	first, copied := slices.Index(steps, "replay"), slices.Index(steps, "message")
	assert.Greater(t, first, copied, "%v", steps)
}
