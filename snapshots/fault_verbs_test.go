package snapshots_test

import (
	"context"
	"path/filepath"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/snapshots"
)

// verb is one operation, what is there when it has succeeded and what is there
// otherwise.
type verb struct {
	name   string
	run    func(context.Context, *faulty) error
	after  map[string]string // key -> content of file a; "-" for no such key
	before map[string]string
	// from is what else has to be so before it, if anything.
	from func(context.Context, *faulty)
	xfs  bool
}

// drained is a verb with what the background does after it.
func drained(run func(context.Context, *faulty) error) func(context.Context, *faulty) error {
	return func(ctx context.Context, f *faulty) error {
		if err := run(ctx, f); err != nil {
			return err
		}
		return f.d.Drain(ctx)
	}
}

// unclean leaves a filesystem that was not unmounted.
func unclean(ctx context.Context, f *faulty) {
	m, err := f.d.Mounts(ctx, "idle")
	require.NoError(f.t, err)
	f.m.Crash(f.t, f.m.Mount(f.t, m))
}

// inactive is unclean without its device, as after a reboot.
func inactive(ctx context.Context, f *faulty) {
	unclean(ctx, f)
	info, err := f.d.Stat(ctx, "idle")
	require.NoError(f.t, err)
	name, err := devmapper.NewName(filepath.Base(info.Device))
	require.NoError(f.t, err)
	require.NoError(f.t, f.config().DM.Remove(devmapper.ByName(name)))
}

// resized makes the active snapshots larger than what they were taken from.
func resized(ctx context.Context, f *faulty) {
	for _, key := range []string{"idle", "held"} {
		require.NoError(f.t, f.d.Resize(ctx, key, 128<<20))
	}
}

var verbs = []verb{
	{name: "prepare", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Prepare(ctx, "new", "base"); return err },
		after: map[string]string{"new": "base"}, before: map[string]string{"new": "-"}},
	{name: "prepare larger", run: func(ctx context.Context, f *faulty) error {
		_, err := f.d.Prepare(ctx, "new", "base", snapshots.WithSize(128<<20))
		return err
	}, after: map[string]string{"new": "base"}, before: map[string]string{"new": "-"}},
	{name: "view", run: func(ctx context.Context, f *faulty) error { _, err := f.d.View(ctx, "new", "base"); return err },
		after: map[string]string{"new": "base"}, before: map[string]string{"new": "-"}},
	{name: "commit", run: func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "idle") },
		after: map[string]string{"done": "idle", "idle": "-"}, before: map[string]string{"done": "-", "idle": "idle"}},
	{name: "commit held", run: func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "held") },
		after: map[string]string{"done": "held", "held": "-"}, before: map[string]string{"done": "-", "held": "held"}},
	{name: "remove", run: func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "idle") },
		after: map[string]string{"idle": "-"}, before: map[string]string{"idle": "idle"}},
	{name: "remove held", run: func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "held") },
		after: map[string]string{"held": "-"}, before: map[string]string{"held": "held"}},
	{name: "remove view", run: func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "view") },
		after: map[string]string{"view": "-"}, before: map[string]string{"view": "base"}},
	{name: "clone", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Clone(ctx, "new", "held"); return err },
		after: map[string]string{"new": "held"}, before: map[string]string{"new": "-"}},
	{name: "roll back", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Rollback(ctx, "idle", ""); return err },
		after: map[string]string{"idle": "base"}, before: map[string]string{"idle": "idle"}},
	{name: "roll back held", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Rollback(ctx, "held", "idle"); return err },
		after: map[string]string{"held": "idle"}, before: map[string]string{"held": "held"}},
	{name: "resize", run: func(ctx context.Context, f *faulty) error { return f.d.Resize(ctx, "idle", 128<<20) },
		after: map[string]string{"idle": "idle"}, before: map[string]string{"idle": "idle"}},
	{name: "clone larger", run: func(ctx context.Context, f *faulty) error {
		_, err := f.d.Clone(ctx, "new", "idle", snapshots.WithSize(128<<20))
		return err
	}, after: map[string]string{"new": "idle"}, before: map[string]string{"new": "-"}},
	{name: "roll back larger", from: resized, run: func(ctx context.Context, f *faulty) error { _, err := f.d.Rollback(ctx, "idle", ""); return err },
		after: map[string]string{"idle": "base"}, before: map[string]string{"idle": "idle"}},
	{name: "commit unclean", from: unclean, run: func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "idle") },
		after: map[string]string{"done": "idle", "idle": "-"}, before: map[string]string{"done": "-", "idle": "idle"}},
	{name: "commit inactive", from: inactive, run: func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "idle") },
		after: map[string]string{"done": "idle", "idle": "-"}, before: map[string]string{"done": "-", "idle": "idle"}},
	{name: "commit held xfs", xfs: true, run: func(ctx context.Context, f *faulty) error { return f.d.Commit(ctx, "done", "held") },
		after: map[string]string{"done": "held", "held": "-"}, before: map[string]string{"done": "-", "held": "held"}},
	{name: "remove and give back", run: drained(func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "idle") }),
		after: map[string]string{"idle": "-"}, before: map[string]string{"idle": "idle"}},
	{name: "remove view and deactivate", run: drained(func(ctx context.Context, f *faulty) error { return f.d.Remove(ctx, "view") }),
		after: map[string]string{"view": "-"}, before: map[string]string{"view": "base"}},
	{name: "freed", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Freed(ctx, "idle", "held"); return err }},
	{name: "describe pool", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Pool(ctx); return err }},
	{name: "check", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Check(ctx); return err }},
	{name: "usage", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Usage(ctx, "idle"); return err }},
	{name: "mounts", run: func(ctx context.Context, f *faulty) error { _, err := f.d.Mounts(ctx, "idle"); return err }},
	{name: "label", run: func(ctx context.Context, f *faulty) error {
		_, err := f.d.SetLabels(ctx, "idle", func(map[string]string) (map[string]string, error) { return map[string]string{"l": "1"}, nil })
		return err
	}},
	{name: "grow pool", run: func(ctx context.Context, f *faulty) error { return f.d.GrowPool(ctx, 512<<20, 16<<20) }},
	{name: "open", run: func(ctx context.Context, f *faulty) error {
		if err := f.d.Close(); err != nil {
			return err
		}
		d, err := snapshots.Open(ctx, f.config())
		if err == nil {
			f.d = d
		}
		return err
	}},
}
