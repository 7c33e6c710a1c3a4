package metamorphic_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/lifetest"
	"github.com/veneerdm/veneer/test/resulttest"
)

var (
	seed  = flag.Uint64("seed", 1, "first seed of the random lives")
	lives = flag.Int("lives", 12, "how many lives to live")
)

// lived is the operations of each of several goroutines, whose keys differ.
type lived [][]lifetest.Op

func makeLives(seed uint64, goroutines, length int, without ...lifetest.Verb) lived {
	all := make(lived, goroutines)
	for g := range all {
		l := lifetest.Life{R: rand.New(rand.NewPCG(seed, uint64(g))), Prefix: fmt.Sprint("g", g, "-"), Most: 8, Wrong: 15, Without: without}
		w := lifetest.World{}
		for range length {
			o := l.Next(w)
			all[g] = append(all[g], o)
			w, _ = w.Apply(o)
		}
	}
	return all
}

// play lives all lives at once on a new store and says what went wrong, "" for nothing.
func play(t *testing.T, m snapstest.Machine, all lived) (wrong string) {
	t.Helper()
	ctx := t.Context()
	options := m.Options()
	options.BaseSize = lifetest.BaseSize
	d, err := snapshots.CreatePool(ctx, m.Config(), options)
	require.NoError(t, err)
	live := &lifetest.Live{D: d, Mount: lifetest.On(t, m)}
	if len(all) == 1 {
		live.Reopen = func() (*snapshots.Driver, error) {
			if err := live.D.Close(); err != nil {
				return nil, err
			}
			return snapshots.Open(ctx, m.Config())
		}
	}
	var mu sync.Mutex
	var found []string
	bad := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, fmt.Sprintf(format, args...))
	}
	want := make([]lifetest.World, len(all))
	var group sync.WaitGroup
	for g, ops := range all {
		group.Go(func() { want[g] = liveOne(ctx, live, ops, bad) })
	}
	group.Wait()
	union := lifetest.World{}
	for _, w := range want {
		maps.Copy(union, w)
	}
	got, err := live.Look(ctx, nil)
	if err != nil {
		bad("look: %v", err)
	} else if diff := union.Diff(got); diff != "" {
		bad("at the end: %s", diff)
	}
	if err := sweep(ctx, live, union); err != nil {
		bad("%v", err)
	}
	require.NoError(t, live.D.DestroyPool(ctx))
	if left := m.LeftOver(t); len(left) > 0 {
		bad("left over: %v", left)
	}
	return strings.Join(found, "\n")
}

// liveOne carries one life out and compares every answer with the model's.
func liveOne(ctx context.Context, live *lifetest.Live, ops []lifetest.Op, bad func(string, ...any)) lifetest.World {
	w := lifetest.World{}
	for i, o := range ops {
		next, class := w.Apply(o)
		err := live.Do(ctx, o)
		switch {
		case class == nil && err != nil:
			bad("operation %d, %s: %v", i, o, err)
			return w
		case class != nil && !errors.Is(err, class):
			bad("operation %d, %s: answered %v, where %v belongs", i, o, err, class)
			return w
		}
		w = next
	}
	return w
}

// sweep removes everything and looks what is left.
func sweep(ctx context.Context, live *lifetest.Live, w lifetest.World) error {
	for len(w) > 0 {
		before := len(w)
		for _, key := range w.Keys() {
			next, class := w.Apply(lifetest.Op{Verb: lifetest.Remove, Key: key})
			if class != nil {
				continue
			}
			if err := live.D.Remove(ctx, key); err != nil {
				return fmt.Errorf("remove %s at the end: %w", key, err)
			}
			w = next
		}
		if len(w) == before {
			return fmt.Errorf("%d snapshots cannot be removed", before)
		}
	}
	return lifetest.Whole(ctx, live.D)
}

// shrinkTries bounds what a failure costs.
const shrinkTries = 300

// shrink leaves out operations as long as it goes wrong still.
func shrink(all lived, goesWrong func(lived) bool) lived {
	tries := 0
	wrong := func(l lived) bool {
		tries++
		return tries <= shrinkTries && goesWrong(l)
	}
	for g := 0; g < len(all) && len(all) > 1; {
		fewer := append(slices.Clone(all[:g]), all[g+1:]...)
		if wrong(fewer) {
			all = fewer
		} else {
			g++
		}
	}
	for size := 16; size > 0; size /= 2 {
		for g := range all {
			for at := 0; at < len(all[g]); {
				fewer := slices.Clone(all)
				fewer[g] = slices.Delete(slices.Clone(all[g]), at, min(at+size, len(all[g])))
				if wrong(fewer) {
					all = fewer
				} else {
					at += size
				}
			}
		}
	}
	return all
}

// program prints lives as a Go test of this package.
func program(all lived) string {
	var b strings.Builder
	fmt.Fprintln(&b, "func TestLifeThatWentWrong(t *testing.T) {")
	fmt.Fprintln(&b, "\tassert.Empty(t, play(t, snapstest.NewFake(t), lived{")
	for _, ops := range all {
		fmt.Fprintln(&b, "\t\t{")
		for _, o := range ops {
			fmt.Fprintf(&b, "\t\t\t{Verb: %q, Key: %q, Other: %q, Content: %.20q, Size: %d},\n", o.Verb, o.Key, o.Other, o.Content, o.Size)
		}
		fmt.Fprintln(&b, "\t\t},")
	}
	fmt.Fprintln(&b, "\t}))\n}")
	return b.String()
}

// judge shrinks and prints what went wrong.
func judge(t *testing.T, all lived, wrong string, again func(lived) bool) {
	t.Helper()
	if wrong == "" {
		return
	}
	short := shrink(all, again)
	assert.Fail(t, wrong, "as a test:\n%s", program(short))
}

func operations(all lived) (n int) {
	for _, ops := range all {
		n += len(ops)
	}
	return n
}

// Lives on the fake machine, one at a time and four at once.
func TestLivesOnTheFake(t *testing.T) {
	row, end := resulttest.Begin(t, "random lives on the fake kernel", *seed)
	defer end()
	for n := range *lives {
		goroutines := 1 + 3*(n%2)
		all := makeLives(*seed+uint64(n), goroutines, 120)
		run := func(all lived) string { return play(t, snapstest.NewFake(t), all) }
		wrong := run(all)
		row.Points += operations(all)
		if wrong != "" {
			row.Violations++
		}
		judge(t, all, wrong, func(l lived) bool { return run(l) != "" })
	}
}

// The negative control: a driver that forgets a write, a commit or a removal is told
// from one that does not, and the life is shortened to what shows it.
func TestLivesThatGoWrongAreShortened(t *testing.T) {
	all := makeLives(7, 1, 100)
	wrong := func(l lived) bool {
		w := lifetest.World{}
		for _, o := range l[0] {
			var err error
			if w, err = w.Apply(o); err == nil && o.Verb == lifetest.Clone {
				return true // as if clones went wrong
			}
		}
		return false
	}
	require.True(t, wrong(all))
	short := shrink(all, wrong)
	assert.LessOrEqual(t, operations(short), 2, "a snapshot and its clone")
	assert.Contains(t, program(short), "clone")
}
