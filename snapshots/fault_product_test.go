package snapshots_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
)

// faultThenDeath is a fault, after which the process takes so many steps more and dies;
// the process that recovers dies too, after so many steps of its own.
type faultThenDeath struct {
	*strike
	steps    int
	recovery int // steps; -1: it does not die
}

func (p faultThenDeath) String() string {
	return fmt.Sprintf("%s, dead %d steps later, and in recovery after %d", p.strike, p.steps, p.recovery)
}

// armThenDie makes a strike happen, and lets as many steps happen after it as are left.
func (f *faulty) armThenDie(s *strike, steps int) {
	f.dead = false
	alive := func(changes bool) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.dead {
			return errDead
		}
		if !changes || !s.hasFired() {
			return nil
		}
		if steps--; steps >= 0 {
			return nil
		}
		f.dead = true
		return errDead
	}
	f.m.Kernel.Inject(func(c dmtest.Call) error {
		if err := alive(c.Mutates); err != nil {
			return err
		}
		if failure, _, ok := s.next(ioctls, c.Op+" "+c.Detail, failuresOf(c)); ok {
			return failure.err
		}
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.strike = s
	f.beforeWrite = func() error {
		if err := alive(true); err != nil {
			return err
		}
		if failure, _, ok := s.next(writes, "catalog", failures(errDiskFull)); ok {
			return failure.err
		}
		return nil
	}
}

func (s *strike) hasFired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

// recoverOrDie opens the store and lets the doctor mend it, by a process that dies after
// so many steps. It says whether it did.
func (f *faulty) recoverOrDie(steps int) (died bool) {
	f.dieAt(steps)
	d, err := snapshots.Open(f.t.Context(), f.config())
	if err == nil {
		_ = d.Close() // gives the catalog's lock back, as the kernel does for the dead
		_, err = snapshots.Examine(f.t.Context(), f.config(), true)
	}
	died = f.disarm()
	if err != nil {
		require.True(f.t, died, "recovery failed by itself: %v", err)
	}
	return died
}

// The matrix of faults is a product: for every verb, a fault at i in each way that it can
// fail, death at j after it, and death at k of the recovery; then the doctor with fix, and
// the state before or after. Snapshots with children are there all the time. With
// -both-ways all of it is tried, and otherwise one way of each fault, with some recoveries.
func TestFaultThenDeathThenDeathInRecovery(t *testing.T) {
	for _, from := range []source{ioctls, writes, ports} {
		row, end := resulttest.Begin(t, string(from)+" fails, then death, then death in recovery", 0)
		turn := 0
		for _, v := range verbs {
			t.Run(v.name+"/"+string(from), func(t *testing.T) {
				for call, reached := 0, true; reached; call++ {
					require.Less(t, call, 300)
					for way, more := 0, true; more; way++ {
						turn++
						reached, more = deathsAfter(t, v, func() *strike { return &strike{source: from, call: call, way: way} }, turn, row)
						if !*bothWays {
							break
						}
					}
				}
			})
		}
		end()
	}
}

// deathsAfter tries every death after one fault, with every death of its recovery, or with
// some. It counts those tries in which what was to die did, and says whether the fault's
// call was reached and has more ways to fail.
func deathsAfter(t *testing.T, v verb, fault func() *strike, turn int, row *resulttest.Row) (reached, more bool) {
	for steps, died := 0, true; died; steps++ {
		require.Less(t, steps, 60)
		for recovery, again := -1, true; again; recovery++ {
			require.Less(t, recovery, 80)
			p := faultThenDeath{fault(), steps, recovery}
			died, again = tryProduct(t, v, p)
			if reached, more = p.reached(); t.Failed() {
				t.Fatal(p)
			}
			if died && again {
				row.Points++
			}
			if recovery < 0 && !*bothWays {
				recovery += turn % 8 // of the recovery's deaths one
			} else if !*bothWays {
				break
			}
			again = again && died
		}
	}
	return reached, more
}

// tryProduct says whether the process died after its fault, and whether the one that
// recovers did, or was not to.
func tryProduct(t *testing.T, v verb, p faultThenDeath) (died, again bool) {
	f := newFaultyFor(t, v)
	f.t = t
	f.armThenDie(p.strike, p.steps)
	err := v.run(t.Context(), f)
	if f.d != nil {
		_ = f.d.Close() // it may be dead
	}
	died, again = f.isDead(), p.recovery < 0
	f.disarm()
	if p.recovery >= 0 {
		again = f.recoverOrDie(p.recovery)
	}
	_, fixErr := snapshots.Examine(t.Context(), f.config(), true)
	require.NoError(t, fixErr, p)
	f.rise(v, err, p)
	return died, again
}

func (f *faulty) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// The negative control: a recovery that forgets to resume is caught.
func TestForgottenResumeAfterAFaultWouldBeNoticed(t *testing.T) {
	row, end := resulttest.Begin(t, "fault, then death, resume forgotten on purpose", 0)
	defer end()
	row.Controls = 1
	for call := range 40 {
		f := newFaulty(t)
		f.armThenDie(&strike{source: ioctls, call: call}, 0)
		_, _ = f.d.Clone(t.Context(), "new", "held") // it fails, or the process dies
		_ = f.d.Close()                              // it is dead
		f.disarm()
		c := f.config()
		c.DM = devmapper.New(forgetful{f.m.Kernel})
		_, _ = snapshots.Examine(t.Context(), c, true) // as broken as it is
		row.Points++
		for _, name := range f.m.Kernel.Devices() {
			if disk, err := f.m.Kernel.Open(name); err == nil {
				if disk.Suspended() {
					row.Caught = 1
				}
				require.NoError(t, disk.Close())
			}
		}
		if row.Caught == 1 {
			break
		}
	}
	require.Equal(t, 1, row.Caught)
}
