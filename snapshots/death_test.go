package snapshots_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
	"github.com/veneerdm/veneer/thinpool"
)

var errDead = errors.New("the process is dead")

// dieAt lets the next steps happen and then nothing more: neither an ioctl nor a
// catalog write. It is what kill -9 after a step looks like to everybody else.
func (f *faulty) dieAt(steps int) {
	f.dead = false
	alive := func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if steps--; steps >= 0 {
			return nil
		}
		f.dead = true
		return errDead
	}
	f.m.Kernel.Inject(func(c dmtest.Call) error {
		if c.Mutates {
			return alive()
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.dead {
			return errDead
		}
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beforeWrite = alive
}

// Every verb, with its process killed after each of its steps: the next start comes
// up by itself, shows the state before or after, and leaks nothing.
func TestDeathAtEveryStepOfEveryVerb(t *testing.T) {
	row, end := resulttest.Begin(t, "process dead after a step, fake kernel", 0)
	defer end()
	for _, v := range verbs {
		if v.name == "open" {
			continue // it reads, and what it mends is tested by all the others
		}
		t.Run(v.name, func(t *testing.T) {
			for i := 0; ; i++ {
				require.Less(t, i, 100)
				f := newFaultyFor(t, v)
				f.dieAt(i)
				err := v.run(t.Context(), f)
				_ = f.d.Close() // gives the catalog's lock back, as the kernel does for the dead
				fired := f.disarm()
				if err != nil {
					require.True(t, fired, "step %d: %v", i, err)
				}
				f.rise(v, err, step(i))
				if !fired {
					break
				}
				row.Points++
			}
		})
	}
}

// forgetful is a kernel whose client never resumes what it finds suspended: what a
// driver would be that forgets that row of its start-up table.
type forgetful struct{ *dmtest.Kernel }

// Control swallows the resume of a device that is suspended (DM_DEV_SUSPEND without
// DM_SUSPEND_FLAG; struct dm_ioctl has its flags at 28 and the UUID at 176).
func (k forgetful) Control(command uint8, buf []byte) error {
	const devSuspend, suspendFlag = 6, 2
	if command == devSuspend && binary.NativeEndian.Uint32(buf[28:])&suspendFlag == 0 {
		uuid, _, _ := bytes.Cut(buf[176:176+129], []byte{0})
		id, _ := thinpool.ParseThinUUID("fake", string(uuid))
		if d, err := k.Open(thinpool.ThinName("fake", id)); err == nil {
			suspended := d.Suspended()
			if err := d.Close(); err != nil || suspended {
				return err
			}
		}
	}
	return k.Kernel.Control(command, buf)
}

// The negative control: a start that forgets to resume is caught.
func TestForgottenResumeWouldBeNoticed(t *testing.T) {
	row, end := resulttest.Begin(t, "process dead, resume forgotten on purpose", 0)
	defer end()
	row.Controls = 1
	for i := range 12 {
		f := newFaulty(t)
		f.dieAt(i)
		_, err := f.d.Clone(t.Context(), "new", "held")
		_ = f.d.Close() // it is dead
		f.disarm()
		if err == nil {
			break
		}
		c := f.config()
		c.DM = devmapper.New(forgetful{f.m.Kernel})
		d, err := snapshots.Open(t.Context(), c)
		require.NoError(t, err)
		row.Points++
		for _, name := range f.m.Kernel.Devices() {
			if disk, err := f.m.Kernel.Open(name); err == nil {
				if disk.Suspended() {
					row.Caught = 1
				}
				require.NoError(t, disk.Close())
			}
		}
		_ = d.Close() // as broken as it is
	}
	require.Equal(t, 1, row.Caught)
}

// rise is the next start, and what it finds: as after a fault, but that the start has
// to resume what the dead left suspended.
func (f *faulty) rise(v verb, err error, at fmt.Stringer) {
	f.t.Helper()
	f.open(at)
	f.nothingSuspended(at)
	require.NoError(f.t, f.held.Unmount())
	f.outcome(v, err, at)
}

// step is how far a process came before it died.
type step int

func (s step) String() string { return fmt.Sprint("killed after step ", int(s)) }
