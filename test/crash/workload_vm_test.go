package crash_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/veneerdm/veneer/snapshots"
)

// world is what a store should hold: the content of file "a" by the snapshot's key.
type world map[string]string

// step is one operation and the world after it.
type step struct {
	name  string
	do    func(context.Context, *snapshots.Driver) error
	after world
	// loose is a key whose content may be anything while the step is under way: a
	// program that writes a file promises nothing before it has synced it.
	loose string
	// partial says that while the step is under way there may be more than before: the
	// layers of an image come one by one, and stay.
	partial bool
	// halfway says that the step has to be done again before all is in order: xfs writes
	// its new size to the copies of its superblock after it has grown, and not in its
	// journal (xfs_growfs_data in fs/xfs/xfs_fsops.c).
	halfway bool
	// image says that the image is there, with its record, once the step is acknowledged.
	image bool
}

// workload is a life of every verb. Each step's world is what its acknowledgement
// promises.
func (r *rig) workload(img *image, what trial) []step {
	w := world{}
	var steps []step
	hasImage := false
	add := func(name string, change func(world), do func(context.Context, *snapshots.Driver) error) {
		w = maps.Clone(w)
		change(w)
		steps = append(steps, step{name: name, do: do, after: w, image: hasImage})
	}
	prepare := func(key, parent string) {
		add("prepare "+key, func(w world) { w[key] = w[parent] }, func(ctx context.Context, d *snapshots.Driver) error {
			_, err := d.Prepare(ctx, key, parent)
			return err
		})
	}
	write := func(key, content string) {
		add("write "+key, func(w world) { w[key] = content }, func(ctx context.Context, d *snapshots.Driver) error {
			return put(ctx, d, key, content)
		})
		steps[len(steps)-1].loose = key
	}
	commit := func(name, key string) {
		add("commit "+key, func(w world) { w[name] = w[key]; delete(w, key) }, func(ctx context.Context, d *snapshots.Driver) error {
			return d.Commit(ctx, name, key)
		})
	}
	remove := func(key string) {
		add("remove "+key, func(w world) { delete(w, key) }, func(ctx context.Context, d *snapshots.Driver) error {
			return d.Remove(ctx, key)
		})
	}
	prepare("w1", "")
	write("w1", "one")
	commit("L1", "w1")
	for i := 2; i <= 5; i++ {
		key := fmt.Sprint("w", i)
		prepare(key, fmt.Sprint("L", i-1))
		write(key, strings.Repeat(key, 40_000))
		commit(fmt.Sprint("L", i), key)
	}
	prepare("c1", "L5")
	write("c1", "container one")
	add("clone", func(w world) { w["c2"] = w["c1"] }, func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.Clone(ctx, "c2", "c1")
		return err
	})
	write("c1", "container one, changed")
	add("rollback to clone", func(w world) { w["c1"] = w["c2"] }, func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.Rollback(ctx, "c1", "c2")
		return err
	})
	add("rollback to parent", func(w world) { w["c2"] = w["L5"] }, func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.Rollback(ctx, "c2", "")
		return err
	})
	add("resize", func(world) {}, func(ctx context.Context, d *snapshots.Driver) error {
		return d.Resize(ctx, "c1", 2*baseSizes[what.filesystem])
	})
	steps[len(steps)-1].halfway = true
	add("view", func(w world) { w["v"] = w["L3"] }, func(ctx context.Context, d *snapshots.Driver) error {
		_, err := d.View(ctx, "v", "L3")
		return err
	})
	add("grow pool", func(world) {}, func(ctx context.Context, d *snapshots.Driver) error {
		return d.GrowPool(ctx, 384<<20, 12<<20)
	})
	add("commit while mounted", func(w world) { w["busy"] = w["c1"]; delete(w, "c1") }, commitMounted)
	for _, key := range []string{"v", "c2", "busy", "L5", "L4"} {
		remove(key)
	}
	add("drain", func(world) {}, func(ctx context.Context, d *snapshots.Driver) error { return d.Drain(ctx) })
	for i := range 4 {
		key := fmt.Sprint("again", i)
		prepare(key, "L3")
		write(key, key)
		remove(key)
	}
	hasImage = true
	add("import", func(w world) { maps.Copy(w, img.contents()) }, img.importInto)
	steps[len(steps)-1].partial = true
	prepare("box", img.layers[2])
	write("box", "in a container of an image")
	commit("boxed", "box")
	for _, s := range r.randomWork(*seed, what.rounds, w) {
		s.image = true
		steps = append(steps, s)
	}
	return steps
}

// fits says whether a store may hold now when it has acknowledged before, and the
// step after that was perhaps under way.
func fits(now, before world, next *step) bool {
	if maps.Equal(now, before) {
		return true
	}
	if next == nil {
		return false
	}
	if next.partial {
		kept := world{}
		for key := range before {
			kept[key] = now[key]
		}
		for key, content := range next.after {
			if have, there := now[key]; there && have != content {
				return false
			}
		}
		return maps.Equal(kept, before)
	}
	if _, there := now[next.loose]; there {
		now = maps.Clone(now)
		now[next.loose] = next.after[next.loose]
	}
	return maps.Equal(now, next.after)
}

func put(ctx context.Context, d *snapshots.Driver, key, content string) error {
	m, err := d.Mounts(ctx, key)
	if err != nil {
		return err
	}
	tree, err := m.Open()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(tree.Path()+"/a", []byte(content), 0o644), tree.Close())
}

func commitMounted(ctx context.Context, d *snapshots.Driver) error {
	m, err := d.Mounts(ctx, "c1")
	if err != nil {
		return err
	}
	tree, err := m.Open()
	if err != nil {
		return err
	}
	return errors.Join(d.Commit(ctx, "busy", "c1"), tree.Close())
}

// look reads what a store holds.
func look(ctx context.Context, d *snapshots.Driver) (world, error) {
	w := world{}
	var all []snapshots.Info
	if err := d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { all = append(all, i); return nil }); err != nil {
		return nil, err
	}
	for _, i := range all {
		content, err := lookAt(ctx, d, i)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", i.Kind, i.Key, err)
		}
		w[i.Key] = content
	}
	return w, nil
}

func lookAt(ctx context.Context, d *snapshots.Driver, i snapshots.Info) (content string, err error) {
	var m snapshots.Mount
	if i.Kind == snapshots.KindCommitted {
		m, err = d.View(ctx, "look", i.Key)
		defer func() { err = errors.Join(err, d.Remove(ctx, "look")) }()
	} else {
		m, err = d.Mounts(ctx, i.Key)
	}
	if err != nil {
		return "", err
	}
	tree, err := m.Open()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(tree.Path() + "/a")
	if errors.Is(err, fs.ErrNotExist) {
		b, err = nil, nil
	}
	return string(b), errors.Join(err, tree.Close())
}
