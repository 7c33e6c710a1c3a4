package snapstest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
)

// Run runs the suite. Each case gets a machine of its own and leaves nothing on it.
func Run(t *testing.T, newMachine func(t *testing.T) Machine) {
	for _, c := range []struct {
		name string
		run  func(*bench)
	}{
		{"LayersShowWhatIsBelow", layersShowWhatIsBelow},
		{"RefusesWhatMakesNoSense", refusesWhatMakesNoSense},
		{"ViewsAreReadOnlyAndShared", viewsAreReadOnlyAndShared},
		{"CommitOfWhatIsHeld", commitOfWhatIsHeld},
		{"CommittedCanBeMounted", committedCanBeMounted},
		{"CloneOfWhatIsHeld", cloneOfWhatIsHeld},
		{"Rollback", rollback},
		{"ResizeGrowsAndChildrenKeepTheSize", resizeGrows},
		{"UsageCountsOverwrittenBlocks", usageCountsOverwrittenBlocks},
		{"RemovedWhileHeld", removedWhileHeld},
		{"EverythingSurvivesAReboot", everythingSurvivesAReboot},
		{"DeepChain", deepChain},
		{"ManyAtOnce", manyAtOnce},
		{"LabelsAndLists", labelsAndLists},
		{"PoolGrowsInUse", poolGrowsInUse},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{T: t, m: newMachine(t)}
			var err error
			b.d, err = snapshots.CreatePool(t.Context(), b.m.Config(), b.m.Options())
			require.NoError(t, err)
			c.run(b)
			b.finish()
		})
	}
}

func layersShowWhatIsBelow(b *bench) {
	b.layer("one", "", "a", "from one")
	b.layer("two", "one", "b", "from two")
	left, right := b.prepare("left", "two"), b.prepare("right", "two")
	b.put(left, "a", "changed")
	assert.Equal(b, "changed", b.get(left, "a"))
	assert.Equal(b, "from two", b.get(left, "b"))
	assert.Equal(b, "from one", b.get(right, "a"), "a sibling sees nothing of it")
	view, err := b.d.View(b.Context(), "view", "two")
	require.NoError(b, err)
	assert.Equal(b, "from one", b.get(view, "a"), "and neither does the parent")
	m, err := b.d.Mounts(b.Context(), "left")
	require.NoError(b, err)
	assert.Equal(b, left, m)
}

func refusesWhatMakesNoSense(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "x")
	b.prepare("work", "base")
	fails := func(want error, what string, err error) {
		b.Helper()
		assert.ErrorIs(b, err, want, what)
	}
	prepare := func(key, parent string) error { _, err := b.d.Prepare(ctx, key, parent); return err }
	fails(snapshots.ErrExists, "key taken", prepare("work", ""))
	fails(snapshots.ErrNotFound, "no parent", prepare("x", "nobody"))
	fails(snapshots.ErrInvalid, "parent is active", prepare("x", "work"))
	fails(snapshots.ErrInvalid, "empty key", prepare("", ""))
	fails(snapshots.ErrInvalid, "key that is not UTF-8", prepare("\xff", ""))
	fails(snapshots.ErrInvalid, "long key", prepare(strings.Repeat("k", 5000), ""))
	fails(snapshots.ErrNotFound, "commit nothing", b.d.Commit(ctx, "c", "nobody"))
	fails(snapshots.ErrInvalid, "commit twice", b.d.Commit(ctx, "c", "base"))
	fails(snapshots.ErrExists, "name taken", b.d.Commit(ctx, "base", "work"))
	fails(snapshots.ErrInUse, "remove a parent", b.d.Remove(ctx, "base"))
	fails(snapshots.ErrNotFound, "remove nothing", b.d.Remove(ctx, "nobody"))
	_, err := b.d.Mounts(ctx, "base")
	fails(snapshots.ErrInvalid, "mount committed", err)
	_, err = b.d.View(ctx, "v", "work")
	fails(snapshots.ErrInvalid, "view of active", err)
	_, err = b.d.Clone(ctx, "c", "base")
	fails(snapshots.ErrInvalid, "clone of committed", err)
	_, err = b.d.Stat(ctx, "nobody")
	fails(snapshots.ErrNotFound, "stat nothing", err)
	fails(snapshots.ErrInvalid, "shrink", b.d.Resize(ctx, "work", 1))
	var op *snapshots.OpError
	require.ErrorAs(b, b.d.Remove(ctx, "base"), &op)
	assert.Equal(b, "base", op.Key)
	for _, i := range b.list() {
		assert.Contains(b, []string{"base", "work"}, i.Key, "what failed left nothing")
	}
}

func viewsAreReadOnlyAndShared(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "content")
	v1, err := b.d.View(ctx, "v1", "base")
	require.NoError(b, err)
	v2, err := b.d.View(ctx, "v2", "base")
	require.NoError(b, err)
	assert.Equal(b, v1.Source, v2.Source, "a view has no device of its own")
	assert.Contains(b, v1.Options, "ro")
	held := b.m.Mount(b, v1)
	assert.Error(b, held.Put("a", "changed"))
	assert.ErrorIs(b, b.d.Remove(ctx, "base"), snapshots.ErrInUse, "views count as children")
	require.NoError(b, b.d.Remove(ctx, "v2"))
	require.NoError(b, b.d.Drain(ctx))
	content, err := held.Get("a")
	require.NoError(b, err)
	assert.Equal(b, "content", content, "the other view goes on")
	require.NoError(b, held.Unmount())
	empty, err := b.d.View(ctx, "empty", "")
	require.NoError(b, err)
	assert.Empty(b, b.get(empty, "a"))
}

func commitOfWhatIsHeld(b *bench) {
	ctx := b.Context()
	m := b.prepare("work", "")
	held := b.m.Mount(b, m)
	require.NoError(b, held.Put("a", "committed"))
	b.commit("done", "work")
	require.NoError(b, held.Put("a", "too late"))
	view, err := b.d.View(ctx, "view", "done")
	require.NoError(b, err)
	assert.Equal(b, "committed", b.get(view, "a"), "a committed snapshot does not change")
	_, err = b.d.Stat(ctx, "work")
	assert.ErrorIs(b, err, snapshots.ErrNotFound)
	require.NoError(b, held.Unmount())
	child := b.prepare("child", "done")
	assert.Equal(b, "committed", b.get(child, "a"))
}

func cloneOfWhatIsHeld(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "base")
	held := b.m.Mount(b, b.prepare("work", "base"))
	require.NoError(b, held.Put("a", "before"))
	clone, err := b.d.Clone(ctx, "clone", "work")
	require.NoError(b, err)
	require.NoError(b, held.Put("a", "after"))
	assert.Equal(b, "before", b.get(clone, "a"))
	b.put(clone, "a", "clone's own")
	content, err := held.Get("a")
	require.NoError(b, err)
	assert.Equal(b, "after", content)
	require.NoError(b, held.Unmount())
	info, err := b.d.Stat(ctx, "clone")
	require.NoError(b, err)
	assert.Equal(b, "base", info.Parent)
}

func rollback(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "base")
	m := b.prepare("work", "base")
	b.put(m, "a", "first")
	_, err := b.d.Clone(ctx, "checkpoint", "work")
	require.NoError(b, err)
	held := b.m.Mount(b, m)
	require.NoError(b, held.Put("a", "second"))
	m, err = b.d.Rollback(ctx, "work", "checkpoint")
	require.NoError(b, err)
	assert.Equal(b, "first", b.get(m, "a"))
	content, err := held.Get("a")
	require.NoError(b, err)
	assert.Equal(b, "second", content, "who holds the old content keeps it")
	require.NoError(b, held.Unmount())
	m, err = b.d.Rollback(ctx, "work", "")
	require.NoError(b, err)
	assert.Equal(b, "base", b.get(m, "a"))
	_, err = b.d.Rollback(ctx, "base", "")
	assert.ErrorIs(b, err, snapshots.ErrInvalid)
}

func resizeGrows(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "x")
	info, err := b.d.Stat(ctx, "base")
	require.NoError(b, err)
	held := b.m.Mount(b, b.prepare("work", "base"))
	before := held.Size()
	require.NoError(b, b.d.Resize(ctx, "work", 2*info.Size))
	require.NoError(b, held.Unmount())
	m, err := b.d.Mounts(ctx, "work")
	require.NoError(b, err)
	v := b.m.Mount(b, m)
	assert.Greater(b, v.Size(), before+before/2)
	require.NoError(b, v.Unmount())
	b.commit("large", "work")
	m = b.prepare("child", "large")
	info2, err := b.d.Stat(ctx, "child")
	require.NoError(b, err)
	assert.Equal(b, 2*info.Size, info2.Size)
	assert.Equal(b, "x", b.get(m, "a"))
	v = b.m.Mount(b, b.prepare("wide", "base", snapshots.WithSize(3*info.Size)))
	assert.Greater(b, v.Size(), 2*before)
	require.NoError(b, v.Unmount())
}

func usageCountsOverwrittenBlocks(b *bench) {
	ctx := b.Context()
	big := strings.Repeat("0123456789abcdef", 4000)
	b.layer("base", "", "a", big)
	m := b.prepare("work", "base")
	fresh, err := b.d.Usage(ctx, "work")
	require.NoError(b, err)
	assert.Zero(b, fresh.Added, "a new snapshot adds nothing")
	assert.NotZero(b, fresh.Mapped)
	b.put(m, "a", strings.ToUpper(big))
	after, err := b.d.Usage(ctx, "work")
	require.NoError(b, err)
	assert.GreaterOrEqual(b, after.Added, uint64(64<<10), "blocks overwritten in place count")
	freed, err := b.d.Freed(ctx, "work")
	require.NoError(b, err)
	assert.Equal(b, after.Added, freed)
	both, err := b.d.Freed(ctx, "work", "base")
	require.NoError(b, err)
	assert.Greater(b, both, freed)
}

func removedWhileHeld(b *bench) {
	ctx := b.Context()
	m := b.prepare("work", "")
	held := b.m.Mount(b, m)
	require.NoError(b, held.Put("a", "x"))
	require.NoError(b, b.d.Remove(ctx, "work"))
	require.NoError(b, b.d.Drain(ctx))
	content, err := held.Get("a")
	require.NoError(b, err)
	assert.Equal(b, "x", content, "whoever holds it goes on")
	again := b.prepare("work", "")
	assert.Empty(b, b.get(again, "a"), "the key is free at once")
	require.NoError(b, held.Unmount())
}

func everythingSurvivesAReboot(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "base")
	b.put(b.prepare("work", "base"), "a", "mine")
	_, err := b.d.View(ctx, "view", "base")
	require.NoError(b, err)
	require.NoError(b, b.d.Close())
	_, err = b.d.Stat(ctx, "work")
	assert.ErrorIs(b, err, snapshots.ErrClosed)
	b.m.Reboot(b)
	b.reopen()
	for key, want := range map[string]string{"work": "mine", "view": "base"} {
		m, err := b.d.Mounts(ctx, key)
		require.NoError(b, err)
		assert.Equal(b, want, b.get(m, "a"), key)
	}
	require.NoError(b, b.d.Deactivate(ctx))
	b.reopen()
	m, err := b.d.Mounts(ctx, "work")
	require.NoError(b, err)
	assert.Equal(b, "mine", b.get(m, "a"))
}

func deepChain(b *bench) {
	const depth = 40
	parent := ""
	for i := range depth {
		name := fmt.Sprint("layer", i)
		b.layer(name, parent, fmt.Sprint("file", i), fmt.Sprint("content", i))
		parent = name
	}
	v := b.m.Mount(b, b.prepare("top", parent))
	for i := range depth {
		content, err := v.Get(fmt.Sprint("file", i))
		require.NoError(b, err)
		assert.Equal(b, fmt.Sprint("content", i), content)
	}
	require.NoError(b, v.Unmount())
}

func manyAtOnce(b *bench) {
	ctx := b.Context()
	b.layer("base", "", "a", "base")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			parent := "base"
			for i := range 6 {
				work, name := fmt.Sprintf("g%d-work%d", g, i), fmt.Sprintf("g%d-layer%d", g, i)
				if _, err := b.d.Prepare(ctx, work, parent); !assert.NoError(b, err) {
					return
				}
				if i%3 == 2 {
					assert.NoError(b, b.d.Remove(ctx, work))
					continue
				}
				if !assert.NoError(b, b.d.Commit(ctx, name, work)) {
					return
				}
				_, err := b.d.View(ctx, name+"-view", name)
				assert.NoError(b, err)
				assert.NoError(b, b.d.Remove(ctx, name+"-view"))
				_, err = b.d.Usage(ctx, name)
				assert.NoError(b, err)
				parent = name
			}
		})
	}
	// Everybody wants the same key: one gets it.
	won := make(chan string, 8)
	for g := range 8 {
		all.Go(func() {
			if _, err := b.d.Prepare(ctx, "wanted", "base"); err == nil {
				won <- fmt.Sprint(g)
			} else {
				assert.ErrorIs(b, err, snapshots.ErrExists)
			}
		})
	}
	all.Wait()
	assert.Len(b, won, 1)
	assert.Len(b, b.list(), 1+8*4+1)
}

func labelsAndLists(b *bench) {
	ctx := b.Context()
	b.prepare("work", "", snapshots.WithLabels(map[string]string{"a": "1"}))
	require.NoError(b, b.d.Commit(ctx, "base", "work", snapshots.WithLabels(map[string]string{"b": "2"})))
	info, err := b.d.Stat(ctx, "base")
	require.NoError(b, err)
	assert.Equal(b, map[string]string{"a": "1", "b": "2"}, info.Labels)
	assert.Equal(b, snapshots.KindCommitted, info.Kind)
	info, err = b.d.SetLabels(ctx, "base", func(had map[string]string) (map[string]string, error) {
		assert.Len(b, had, 2)
		return map[string]string{"c": "3"}, nil
	})
	require.NoError(b, err)
	assert.Equal(b, map[string]string{"c": "3"}, info.Labels)
	odd := "odd \x00\u00ff/key\n"
	b.prepare(odd, "base")
	kids, err := b.d.Children(ctx, "base")
	require.NoError(b, err)
	assert.Equal(b, []string{odd}, kids)
	assert.Len(b, b.list(), 2)
}

func poolGrowsInUse(b *bench) {
	ctx := b.Context()
	held := b.m.Mount(b, b.prepare("work", ""))
	size := b.m.Options().DataSize
	require.NoError(b, b.d.GrowPool(ctx, 2*size, 2*b.m.Options().MetadataSize))
	require.NoError(b, held.Put("a", "x"))
	require.NoError(b, held.Unmount())
	assert.ErrorIs(b, b.d.GrowPool(ctx, size, 0), snapshots.ErrInvalid)
}
