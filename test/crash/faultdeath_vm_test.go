package crash_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/test/resulttest"
)

var pairs = flag.Int("pairs", 12, "how many times to fail a system call, and then to kill the program and the one that recovers")

// The real program on a real kernel: a system call of a verb fails, the program is killed
// after a later one, and the doctor that recovers is killed, too. The next commands find
// the state before or after.
func TestProcessFaultThenDeathThenDeathInRecovery(t *testing.T) {
	s := newShop(t)
	row, end := resulttest.Begin(t, "system call fails, then killed, then killed in recovery", *seed)
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
	cases := s.cases(second)[:6] // of the driver's verbs; images come in with other faults
	for n := range *pairs {
		c := cases[n%len(cases)]
		t.Run(fmt.Sprint(n, " ", c.name), func(t *testing.T) { row.Points += s.failThenDie(t, c, n) })
	}
	require.Positive(t, row.Points, "nothing was killed after a fault")
}

// failThenDie has one system call of a command fail, kills the command after a later one
// and the doctor after one of its own, and says how often the command was killed.
func (s *shop) failThenDie(t *testing.T, c deathCase, n int) (died int) {
	t.Helper()
	before, err := s.state()
	require.NoError(t, err)
	whole := s.kill(t, c.args(), 0)
	require.Zero(t, whole.status.ExitStatus(), "%s: %s", c.name, s.said())
	after, err := s.state()
	require.NoError(t, err)
	c.undo()
	fail := 1 + (n*7+*pairs)%len(whole.calls)
	for later := 1; later <= 3; later++ {
		k := s.trace(t, c.args(), &tracer{failAt: fail, killAt: fail + later})
		at := fmt.Sprintf("%s, call %d (%s) failed, killed %d calls later: %t", c.name, fail, k.failed, later, k.killed)
		if k.killed && k.failed != "" {
			died++
		}
		s.trace(t, []string{"doctor", "--fix"}, &tracer{killAt: 1 + (n+later*5)%17})
		now, err := s.state()
		require.NoError(t, err, at)
		if !c.partial || !between(now, before, after) {
			if !maps.Equal(now, before) {
				require.Equal(t, summary(after), summary(now), at)
			}
		}
		c.undo()
		now, err = s.state()
		require.NoError(t, err, at)
		require.Equal(t, summary(before), summary(now), "%s, and repeated and undone", at)
		if !k.killed {
			break // the command ended at its fault
		}
	}
	return died
}

// trace runs a command under a tracer to its end.
func (s *shop) trace(t *testing.T, args []string, k *tracer) *tracer {
	t.Helper()
	out, err := os.Create(s.out)
	require.NoError(t, err)
	defer out.Close()
	k.armed.Store(true)
	require.NoError(t, k.run(s.program, s.args(args...), out, nil))
	return k
}
