package crash_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/lifetest"
	"github.com/veneerdm/veneer/test/resulttest"
	"github.com/veneerdm/veneer/test/waittest"
	"github.com/veneerdm/veneer/thinpool"
)

var windows = flag.Int("windows", 12, "how many times a disk goes wrong")

// shim is a disk that can be made to go wrong while it is in use.
type shim struct {
	r    *rig
	name devmapper.Name
	disk loopback.Device
}

func (r *rig) shim(name string, mib int64) *shim {
	r.t.Helper()
	s := &shim{r: r, disk: r.disk(name, mib)}
	s.name = r.activate("veneer-shim-"+name, s.disk.Size, devmapper.Linear{Dev: devno(s.disk)})
	return s
}

func (s *shim) path() string { return s.name.Path() }

// become puts another target under whoever uses the disk. What is in flight is not
// waited for.
func (s *shim) become(t devmapper.Target) {
	s.r.t.Helper()
	ref := devmapper.ByName(s.name)
	require.NoError(s.r.t, s.r.dm.Load(ref, devmapper.Single(devmapper.Sectors(s.disk.Size/512), t), devmapper.ReadWrite))
	require.NoError(s.r.t, s.r.dm.ResumeFlags(ref, devmapper.NoFlush|devmapper.SkipLockFS))
}

func (s *shim) mend() { s.become(devmapper.Linear{Dev: devno(s.disk)}) }

func (s *shim) close() {
	s.r.t.Helper()
	s.r.remove(s.name)
	s.r.detach(s.disk)
	require.NoError(s.r.t, os.Remove(s.disk.BackingFile))
}

// diskFault is what goes wrong with a disk.
type diskFault struct {
	name string
	lies bool // it acknowledges what it does not do
	slow bool // it only takes its time
	have func(*rand.Rand, *shim)
}

var diskFaults = []diskFault{
	{name: "error_writes", have: func(_ *rand.Rand, s *shim) {
		s.become(devmapper.Flakey{Dev: devno(s.disk), Down: 3600, Features: []string{"error_writes"}})
	}},
	{name: "drop_writes", lies: true, have: func(_ *rand.Rand, s *shim) {
		s.become(devmapper.Flakey{Dev: devno(s.disk), Down: 3600, Features: []string{"drop_writes"}})
	}},
	{name: "unreadable blocks", have: func(r *rand.Rand, s *shim) {
		s.become(devmapper.Dust{Dev: devno(s.disk), BlockSize: 4096})
		blocks := int(s.disk.Size / 4096)
		for range 200 {
			_, _ = s.r.dm.Message(devmapper.ByName(s.name), 0, fmt.Sprint("addbadblock ", r.IntN(min(blocks, 600)))) // the same one twice is refused
		}
		_, err := s.r.dm.Message(devmapper.ByName(s.name), 0, "enable")
		require.NoError(s.r.t, err)
		require.NoError(s.r.t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
	}},
	{name: "delay", slow: true, have: func(_ *rand.Rand, s *shim) {
		s.become(devmapper.Delay{Dev: devno(s.disk), Read: 3, Write: 10, Flush: 30})
	}},
}

// threeDisks is a store on three disks of its own: the pool's two, and the catalog's.
type threeDisks struct {
	*rig
	data, meta, cat *shim
}

func (r *rig) threeDisks() *threeDisks {
	r.t.Helper()
	w := &threeDisks{r, r.shim("data", 160), r.shim("meta", 8), r.shim("cat", 48)}
	r.run("mkfs.ext4", "-q", w.cat.path())
	r.mount(w.cat.path())
	return w
}

func (w *threeDisks) config() snapshots.Config {
	return snapshots.Config{Root: filepath.Join(w.mnt, "store")}
}

func (w *threeDisks) options() snapshots.PoolOptions {
	return snapshots.PoolOptions{Name: "veneer-disks", Backing: metadata.BackingDevices, Data: w.data.path(), Metadata: w.meta.path(), BaseSize: lifetest.BaseSize}
}

// powerOff takes everything away that a reboot does, disks being fault still.
func (w *threeDisks) powerOff() {
	w.t.Helper()
	for _, thins := range []bool{true, false} {
		entries, err := w.dm.List("veneer-disks")
		require.NoError(w.t, err)
		for _, e := range entries {
			if thins == strings.Contains(e.Name, "-thin-") {
				n, err := devmapper.NewName(e.Name)
				require.NoError(w.t, err)
				// A deferred removal may be quicker, and the pool is held until it has ended:
				// the device has no name any more while the kernel takes its table apart.
				waittest.Until(w.t, "a device is removed", func() bool {
					err = w.dm.Remove(devmapper.ByName(n))
					return thins || !errors.Is(err, devmapper.ErrBusy)
				})
				if !errors.Is(err, devmapper.ErrNotExist) {
					require.NoError(w.t, err)
				}
			}
		}
	}
	require.NoError(w.t, unix.Unmount(w.mnt, 0))
}

func (w *threeDisks) discard() {
	w.t.Helper()
	w.powerOff()
	for _, s := range []*shim{w.data, w.meta, w.cat} {
		s.close()
	}
}

// possible are the worlds that a store may hold after operations that failed: each has
// happened, or has not.
type possible []lifetest.World

func (p possible) after(o lifetest.Op, err error) possible {
	var next possible
	for _, w := range p {
		then, class := w.Apply(o)
		if class == nil {
			next = append(next, then)
		}
		if err != nil {
			next = append(next, w)
		}
	}
	return next
}

func (p possible) has(got lifetest.World, loose map[string]bool) bool {
	return slices.ContainsFunc(p, func(w lifetest.World) bool {
		w, got := forget(w, loose), forget(got, loose)
		return w.Diff(got) == ""
	})
}

// forget drops the contents of keys that may hold anything.
func forget(w lifetest.World, loose map[string]bool) lifetest.World {
	f := lifetest.World{}
	for key, s := range w {
		if loose[key] || loose["*"] {
			s.Content = ""
		}
		f[key] = s
	}
	return f
}

// Disks that fail, lie, cannot be read or are slow, one at a time, at a random moment
// of a random life. Afterwards the disk is well again and the power comes back.
func TestDisksThatGoWrong(t *testing.T) {
	r := newRig(t)
	row, end := resulttest.Begin(t, "disk that fails, lies or is slow", *seed)
	defer end()
	said, silent := 0, 0
	for n := range *windows {
		random := rand.New(rand.NewPCG(*seed, uint64(n)))
		fault := diskFaults[n%len(diskFaults)]
		t.Run(fmt.Sprintf("%d %s", n, fault.name), func(t *testing.T) {
			w := r.threeDisks()
			victim := []*shim{w.data, w.meta, w.cat}[n/len(diskFaults)%3]
			outcome, err := w.inject(t, random, fault, victim)
			w.discard()
			row.Points++
			if err != nil {
				row.Violations++
				t.Errorf("%s under %s: %v", fault.name, victim.name, err)
			}
			switch outcome {
			case "said":
				said++
			case "silent":
				silent++
			}
		})
	}
	t.Logf("of the lies that lost something the driver noticed %d and not %d", said, silent)
}

func (w *threeDisks) inject(t *testing.T, random *rand.Rand, fault diskFault, victim *shim) (outcome string, err error) {
	ctx := t.Context()
	d, err := snapshots.CreatePool(ctx, w.config(), w.options())
	require.NoError(t, err)
	live := &lifetest.Live{D: d, Mount: mountPrivately}
	life := lifetest.Life{R: random, Prefix: "k", Most: 6, Without: []lifetest.Verb{lifetest.GrowPool, lifetest.Reopen}}
	worlds := possible{{}}
	loose := map[string]bool{}
	step := func(sick bool) error {
		o := life.Next(worlds[0])
		err := waittest.Ends(func() error { return live.Do(ctx, o) })
		if errors.Is(err, waittest.ErrHang) {
			return fmt.Errorf("%s: %w", o, err)
		}
		if err != nil && !sick {
			return fmt.Errorf("%s: %w", o, err)
		}
		if err != nil && o.Verb == lifetest.Write {
			loose[o.Key] = true
		}
		// Who copies what may be anything has anything.
		if loose[o.Key] && (o.Verb == lifetest.Commit || o.Verb == lifetest.CommitHeld) || loose[o.Other] {
			loose[o.Key], loose[o.Other] = true, true
		}
		if worlds = worlds.after(o, err); len(worlds) == 0 {
			return fmt.Errorf("%s was done, which it cannot be", o)
		}
		if len(worlds) > 256 {
			worlds = worlds[:256]
		}
		return nil
	}
	for range 10 {
		if err := step(false); err != nil {
			return "", err
		}
	}
	fault.have(random, victim)
	for range 6 {
		if err := step(!fault.slow); err != nil {
			victim.mend()
			_ = d.Close() // what went wrong before counts
			return "", err
		}
	}
	_ = waittest.Ends(d.Close) // the catalog may have the fault
	w.powerOff()
	victim.mend()
	return w.recover(t, fault, victim, worlds, loose)
}

// recover starts the store on disks that are well again.
func (w *threeDisks) recover(t *testing.T, fault diskFault, victim *shim, worlds possible, loose map[string]bool) (outcome string, err error) {
	ctx := context.WithoutCancel(t.Context())
	if fault.lies && victim == w.cat {
		w.runAny("e2fsck", "-fy", w.cat.path()) // the filesystem was lied to as well
	}
	w.mount(w.cat.path())
	d, err := snapshots.Open(ctx, w.config())
	if err == nil {
		info, look := d.Pool(ctx)
		if p, ok := info.Status.(thinpool.Working); look != nil || !ok || p.Writable() != nil {
			if err := d.Close(); err != nil {
				return "", err
			}
			if d, err = w.repair(ctx); err != nil {
				return "", fmt.Errorf("repair: %w", err)
			}
		}
	} else if errors.Is(err, thinpool.ErrDamaged) || errors.Is(err, snapshots.ErrPoolState) {
		d, err = w.repair(ctx)
	}
	if err != nil {
		if fault.lies {
			return "said", nil
		}
		return "", fmt.Errorf("the store does not start: %w", err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	info, err := d.Pool(ctx)
	if err != nil {
		return "", err
	}
	if fault.lies || victim == w.data && !fault.slow {
		loose["*"] = fault.lies // a filesystem that was lied to may show anything
	}
	live := &lifetest.Live{D: d, Mount: mountPrivately}
	got, err := live.Look(ctx, nil)
	switch {
	case err == nil && worlds.has(got, loose):
		outcome = "well"
	case fault.lies && (len(info.Unknown) > 0 || err != nil):
		return "said", nil
	case fault.lies:
		outcome = "silent"
	case err != nil:
		info, _ := d.Pool(ctx) // for the message alone
		return "", fmt.Errorf("%w; the pool says %+v", err, info.Status)
	default:
		return "", fmt.Errorf("the store holds something else than was acknowledged: %s", forget(worlds[0], loose).Diff(forget(got, loose)))
	}
	_, err = d.Check(ctx)
	return outcome, err
}

func (w *threeDisks) repair(ctx context.Context) (*snapshots.Driver, error) {
	if err := snapshots.TakeDown(ctx, w.config()); err != nil {
		return nil, err
	}
	if _, err := snapshots.RepairPool(ctx, w.config()); err != nil {
		return nil, err
	}
	return snapshots.Open(ctx, w.config())
}

// runAny runs a tool whose exit status says only what it found.
func (r *rig) runAny(name string, args ...string) {
	r.t.Helper()
	out, err := commandOutput(name, args...)
	r.t.Logf("%s: %v %.200s", name, err, out)
}
