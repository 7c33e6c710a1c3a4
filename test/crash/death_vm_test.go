package crash_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/lifetest"
	"github.com/veneerdm/veneer/test/resulttest"
)

var deaths = flag.Int("deaths", 40, "how many deaths to die, spread over the verbs and their system calls; 0 for all")

// shop is a store that the real program works on, and its program.
type shop struct {
	*rig
	root, program, out string
	pairs              map[string]bool // verb and system call
	grown, looked      int
	layers             map[string]string // contents of committed snapshots
}

func newShop(t *testing.T) *shop {
	t.Helper()
	r := newRig(t)
	program, err := filepath.Abs("../../bin/veneer")
	require.NoError(t, err)
	return &shop{rig: r, root: filepath.Join(r.dir, "shop"), program: program, out: filepath.Join(r.dir, "out"), pairs: map[string]bool{}, layers: map[string]string{}}
}

func (s *shop) args(args ...string) []string {
	return append([]string{"--root", s.root, "--address", filepath.Join(s.dir, "socket"), "--progress", "none"}, args...)
}

// veneer runs a command to its end.
func (s *shop) veneer(args ...string) error {
	out, err := exec.Command(s.program, s.args(args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("veneer %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (s *shop) must(args ...string) {
	s.t.Helper()
	require.NoError(s.t, s.veneer(args...))
}

// open opens the store in this process, as the next command would.
func (s *shop) open(use func(*snapshots.Driver) error) error {
	d, err := snapshots.Open(s.t.Context(), snapshots.Config{Root: s.root})
	if err != nil {
		return err
	}
	if err := use(d); err != nil {
		_ = d.Close() // the first error counts
		return err
	}
	return d.Close()
}

// state is what the store holds, images as keys of their own, when nothing is left
// over. What committed snapshots hold, which never changes, is read now and then.
func (s *shop) state() (now world, err error) {
	s.looked++
	err = s.open(func(d *snapshots.Driver) error {
		ctx := s.t.Context()
		now = world{}
		var all []snapshots.Info
		if err := d.Walk(ctx, func(_ context.Context, i snapshots.Info) error { all = append(all, i); return nil }); err != nil {
			return err
		}
		for _, i := range all {
			if content, known := s.layers[i.Key]; known && i.Kind == snapshots.KindCommitted && s.looked%10 > 0 {
				now[i.Key] = content
				continue
			}
			content, err := lookAt(ctx, d, i)
			if err != nil {
				return fmt.Errorf("%s %q: %w", i.Kind, i.Key, err)
			}
			if now[i.Key] = content; i.Kind == snapshots.KindCommitted {
				s.layers[i.Key] = content
			}
		}
		records, err := d.Records()
		if err != nil {
			return err
		}
		for _, r := range records {
			now["image "+r.Name] = ""
		}
		return lifetest.Whole(ctx, d)
	})
	return now, err
}

func (s *shop) write(key, content string) {
	s.t.Helper()
	require.NoError(s.t, s.open(func(d *snapshots.Driver) error { return put(s.t.Context(), d, key, content) }))
}

func (s *shop) has(key string) (there bool) {
	s.t.Helper()
	require.NoError(s.t, s.open(func(d *snapshots.Driver) error {
		_, err := d.Stat(s.t.Context(), key)
		there = err == nil
		return nil
	}))
	return there
}

// deathCase is a command, and how to have everything as it was before it.
type deathCase struct {
	name    string
	args    func() []string
	undo    func()
	partial bool // layers that are complete may stay
}

func (s *shop) cases(archive string) []deathCase {
	fixed := func(args ...string) func() []string { return func() []string { return args } }
	drop := func(name string) func() {
		return func() {
			if s.has("container/" + name) {
				s.must("container", "rm", name)
			}
		}
	}
	return []deathCase{
		{"container create", fixed("container", "create", "--name", "new", "box"), drop("new"), false},
		{"container clone", fixed("container", "clone", "c", "new"), drop("new"), false},
		{"container rollback", fixed("container", "rollback", "c"), func() { s.write("container/c", "mine") }, false},
		{"container resize", func() []string {
			s.grown++
			return []string{"container", "resize", "c", fmt.Sprint(64<<20 + s.grown*65536)}
		}, func() {}, false},
		{"container rm", fixed("container", "rm", "victim"), func() {
			if !s.has("container/victim") {
				s.must("container", "create", "--name", "victim", "box")
			}
		}, false},
		{"container commit", fixed("container", "commit", "c", "made"), func() {
			s.must("container", "commit", "c", "made")
			s.must("image", "rm", "made")
			s.must("doctor", "--fix") // takes away what dead commits were working on
		}, true},
		{"image rm", fixed("image", "rm", "box2"), func() { s.must("image", "import", archive) }, true},
		{"pool grow", func() []string {
			s.grown++
			return []string{"pool", "grow", "--size", fmt.Sprint(512<<20 + s.grown<<20)}
		}, func() {}, false},
		{"pool deactivate", fixed("pool", "deactivate"), func() {}, false},
		{"doctor --fix", func() []string {
			require.NoError(s.t, s.open(func(d *snapshots.Driver) error { return nil }))
			return []string{"doctor", "--fix"}
		}, func() {}, false},
		{"image import", fixed("image", "import", archive), func() { s.must("image", "import", archive); s.must("image", "rm", "box2") }, true},
	}
}

// SIGKILL of the real program after each of its system calls that changes something.
func TestProcessDeaths(t *testing.T) {
	s := newShop(t)
	row, end := resulttest.Begin(t, "process killed after a system call", *seed)
	defer end()
	first, second := s.smallImage("box", "one"), s.smallImage("box2", "two")
	s.must("pool", "create", "--size", "512M", "--base-size", "64M")
	defer func() { s.must("pool", "destroy", "veneer", "--yes") }()
	s.must("image", "import", first)
	s.must("image", "import", second)
	for _, name := range []string{"c", "victim"} {
		s.must("container", "create", "--name", name, "box")
	}
	s.write("container/c", "mine")
	for _, c := range s.cases(second) {
		if c.name == "image import" {
			s.must("image", "rm", "box2")
		}
		t.Run(c.name, func(t *testing.T) { row.Points += s.die(t, c) })
	}
	t.Run("serve", func(t *testing.T) { row.Points += s.dieServing(t) })
	t.Run("pool create", func(t *testing.T) { row.Points += s.dieMaking(t) })
	t.Logf("%d pairs of a verb and a kind of system call", len(s.pairs))
}

// every is the distance of the deaths of a verb that makes so many calls.
func every(calls int) int {
	if *deaths == 0 {
		return 1
	}
	return max(1, calls*13 / *deaths)
}

// die kills a command after each of its calls in turn.
func (s *shop) die(t *testing.T, c deathCase) (died int) {
	t.Helper()
	before, err := s.state()
	require.NoError(t, err)
	whole := s.kill(t, c.args(), 0)
	require.Zero(t, whole.status.ExitStatus(), "%s: %s", c.name, s.said())
	after, err := s.state()
	require.NoError(t, err)
	c.undo()
	for at := 1; ; at += every(len(whole.calls)) {
		k := s.kill(t, c.args(), at)
		if !k.killed {
			require.Zero(t, k.status.ExitStatus(), "%s: %s", c.name, s.said())
			c.undo()
			return died
		}
		died++
		call := k.calls[len(k.calls)-1]
		s.pairs[c.name+" "+call] = true
		now, err := s.state()
		require.NoError(t, err, "%s, killed after call %d, %s", c.name, at, call)
		if !c.partial || !between(now, before, after) {
			if !maps.Equal(now, before) {
				require.Equal(t, summary(after), summary(now), "%s, killed after call %d, %s", c.name, at, call)
			}
		}
		if maps.Equal(now, before) && died%4 > 0 {
			continue // the next try is the next death
		}
		c.undo()
		now, err = s.state()
		require.NoError(t, err)
		require.Equal(t, summary(before), summary(now), "%s, killed after call %d, %s, and repeated and undone", c.name, at, call)
	}
}

// between says whether a store has what it had before, or what it has after, and
// perhaps layers on the way.
func between(now, before, after world) bool {
	for key, content := range now {
		old, had := before[key]
		fresh, has := after[key]
		layer := strings.HasPrefix(key, "sha256:") || !strings.HasPrefix(key, "image ") && !strings.HasPrefix(key, "container/")
		if !(had && old == content || has && fresh == content || layer) {
			return false
		}
	}
	for key := range before {
		_, kept := after[key]
		if _, there := now[key]; kept && !there {
			return false
		}
	}
	return true
}

func (s *shop) kill(t *testing.T, args []string, at int) *tracer {
	t.Helper()
	return s.trace(t, args, &tracer{killAt: at})
}

func (s *shop) said() string {
	b, err := os.ReadFile(s.out)
	require.NoError(s.t, err)
	return string(b)
}

// dieMaking kills the making of a pool. The next one takes away what is left.
func (s *shop) dieMaking(t *testing.T) (died int) {
	t.Helper()
	other := *s
	other.root, other.layers = filepath.Join(s.dir, "other"), map[string]string{}
	create := []string{"pool", "create", "--name", "other", "--size", "128M", "--base-size", "16M"}
	whole := other.kill(t, create, 0)
	require.Zero(t, whole.status.ExitStatus(), other.said())
	other.must("pool", "destroy", "other", "--yes")
	for at := 1; ; at += every(len(whole.calls)) {
		k := other.kill(t, create, at)
		if k.killed {
			died++
			s.pairs["pool create "+k.calls[len(k.calls)-1]] = true
			if err := other.veneer(create...); err != nil {
				require.ErrorContains(t, err, "already exists", "killed after call %d", at)
			}
		}
		now, err := other.state()
		require.NoError(t, err)
		require.Empty(t, now)
		destroy := other.kill(t, []string{"pool", "destroy", "other", "--yes"}, at)
		if destroy.killed {
			died++
			s.pairs["pool destroy "+destroy.calls[len(destroy.calls)-1]] = true
			if other.veneer("pool", "destroy", "other", "--yes") != nil {
				if err := other.veneer(create...); err != nil {
					require.ErrorContains(t, err, "already exists")
				}
				other.must("pool", "destroy", "other", "--yes")
			}
		}
		if !k.killed && !destroy.killed {
			return died
		}
	}
}

// smallImage packs an image of two layers.
func (s *shop) smallImage(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name+".tar")
	require.NoError(s.t, os.WriteFile(path, archiveOf(name, [][]entry{
		{{"a", content}, {"etc/passwd", "root:x:0:0"}}, {{"a", content + ", changed"}, {"etc/.wh.passwd", ""}},
	}), 0o600))
	return path
}
