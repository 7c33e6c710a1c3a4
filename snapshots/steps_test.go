package snapshots_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// recorder writes down the steps of verbs in the words of package lifecycle.
type recorder struct {
	snapshots.Host
	mu    sync.Mutex
	on    bool
	steps []string
}

func (r *recorder) step(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		r.steps = append(r.steps, s)
	}
}

// kernelSteps are the steps that calls of the kernel are. A device's table is loaded and
// resumed, and a suspended origin is resumed, by the same call.
var kernelSteps = map[string]string{
	"create": "create the device", "remove": "remove the device", "table load": "load its table, resume", "suspend": "suspend",
	"message create_snap": "create_snap or create_thin", "message create_thin": "create_snap or create_thin", "message delete": "delete",
}

func (r *recorder) call(c dmtest.Call) error {
	if s, ok := kernelSteps[c.Kind()]; ok {
		r.step(s)
	}
	return nil
}

func (r *recorder) Settle(ctx context.Context, device string) (filesystem.State, error) {
	r.step("flush")
	return r.Host.Settle(ctx, device)
}

func (r *recorder) Grow(ctx context.Context, m snapshots.Mount) error {
	r.step("grow the filesystem")
	return r.Host.Grow(ctx, m)
}

func (r *recorder) Discard(ctx context.Context, device string) error {
	r.step("discard")
	return r.Host.Discard(ctx, device)
}

func (r *recorder) Format(ctx context.Context, f filesystem.Format) error {
	r.step("make the filesystem")
	return r.Host.Format(ctx, f)
}

// What verbs do is what the table says: the same catalog writes and kernel operations in
// the same order. Steps that a table has for the cases that need them may be missing, and
// the suspension of an origin is a transition of the origin's.
func TestVerbsHaveTheStepsOfTheirTransitions(t *testing.T) {
	size := snapshots.WithSize(128 << 20)
	for name, c := range map[string]struct {
		transition string
		run        func(context.Context, *snapshots.Driver) error
		missing    []string
	}{
		"prepare": {"prepare, clone", func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Prepare(ctx, "new", "base")
			return err
		}, []string{"grow the filesystem"}},
		"prepare larger": {"prepare, clone", func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Prepare(ctx, "new", "base", size)
			return err
		}, nil},
		"clone larger": {"prepare, clone", func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Clone(ctx, "new", "work", size)
			return err
		}, nil},
		"commit": {"commit", func(ctx context.Context, d *snapshots.Driver) error { return d.Commit(ctx, "done", "work") }, []string{"replay the filesystem's log"}},
		"roll back": {"roll back: the new one", func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Rollback(ctx, "work", "")
			return err
		}, []string{"grow the filesystem"}},
		"view":   {"view", func(ctx context.Context, d *snapshots.Driver) error { _, err := d.View(ctx, "new", "base"); return err }, nil},
		"remove": {"remove", func(ctx context.Context, d *snapshots.Driver) error { return d.Remove(ctx, "work") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			m := snapstest.NewFake(t)
			config := m.Config()
			r := &recorder{Host: config.Host}
			config.Host = r
			config.OpenCatalog = hooked(func(change string) error {
				if change != "save acknowledged" {
					r.step("catalog: " + change)
				}
				return nil
			})
			d, err := snapshots.CreatePool(ctx, config, m.Options())
			require.NoError(t, err)
			_, err = d.Prepare(ctx, "tmp", "")
			require.NoError(t, err)
			require.NoError(t, d.Commit(ctx, "base", "tmp"))
			_, err = d.Prepare(ctx, "work", "base")
			require.NoError(t, err)
			require.NoError(t, d.Drain(ctx))
			m.Kernel.Inject(r.call)
			r.mu.Lock()
			r.on = true
			r.mu.Unlock()
			require.NoError(t, c.run(ctx, d))
			r.mu.Lock()
			r.on = false
			steps := slices.DeleteFunc(slices.Clone(r.steps), func(s string) bool { return s == "suspend" })
			r.mu.Unlock()
			m.Kernel.Inject(nil)
			want := stepsOf(t, c.transition, c.missing)
			require.GreaterOrEqual(t, len(steps), len(want), steps)
			assert.Equal(t, want, steps[:len(want)], "what follows is the reaper's")
			require.NoError(t, d.DestroyPool(ctx))
		})
	}
}

// stepsOf gives the steps of a transition in the recorder's words.
func stepsOf(t *testing.T, name string, missing []string) (steps []string) {
	t.Helper()
	all := lifecycle.Transitions()
	i := slices.IndexFunc(all, func(tr lifecycle.Transition) bool { return tr.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	for _, s := range all[i].Steps {
		switch {
		case slices.Contains(missing, s.Name), s.Name == "acknowledge": // which writes nothing
		case s.Catalog:
			steps = append(steps, "catalog: "+s.Name)
		default:
			steps = append(steps, strings.TrimSpace(s.Name))
		}
	}
	return steps
}
