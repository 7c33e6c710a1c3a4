package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
)

var (
	points = flag.Int("points", 150, "how many power cuts to play, spread over the recorded ones; 0 for all")
	rounds = flag.Int("rounds", 20, "how many random operations come after the fixed ones")
	seed   = flag.Uint64("seed", 1, "of everything random")
)

const diskSize = 1 << 10 // MiB

// oneTorn of so many power cuts is played a second time, with a part of what was being
// written besides what was flushed.
const oneTorn = 2

// baseSizes are what mkfs can make of each filesystem, and little more.
var baseSizes = map[string]uint64{"ext4": 64 << 20, "xfs": 320 << 20}

// A trial is what is recorded, and how much of it is played.
type trial struct {
	filesystem string
	sabotage   func(*snapshots.Config) // of a driver that breaks the protocol; nil for none
	points     int                     // of the recorded moments, 0 for all
	rounds     int                     // random operations after the fixed ones
	enough     int                     // violations after which it is over; 0 for never
}

// played is what came of a trial.
type played struct {
	points, recorded int
	violations       []string
}

func (r *rig) config() snapshots.Config {
	return snapshots.Config{Root: filepath.Join(r.mnt, "store")}
}

func (t trial) pool() snapshots.PoolOptions {
	return snapshots.PoolOptions{
		Name: "veneer-crash", DataSize: 256 << 20, MetadataSize: 8 << 20,
		Filesystem: t.filesystem, BaseSize: baseSizes[t.filesystem],
	}
}

// record plays the workload on a disk whose writes are logged. The mark ack-N says
// that N steps are acknowledged, and begin that there is no pool yet.
func (r *rig) record(log loopback.Device, steps []step, what trial) {
	r.t.Helper()
	ctx := r.t.Context()
	disk := r.disk("disk", diskSize)
	defer r.detach(disk)
	logged := r.activate("veneer-crash-log", disk.Size, devmapper.LogWrites{Dev: devno(disk), Log: devno(log)})
	defer r.remove(logged)
	mark := func(text string) {
		_, err := r.dm.Message(devmapper.ByName(logged), 0, "mark "+text)
		require.NoError(r.t, err)
	}
	r.run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", logged.Path())
	r.mount(logged.Path())
	config := r.config()
	if what.sabotage != nil {
		what.sabotage(&config)
	}
	mark("begin")
	d, err := snapshots.CreatePool(ctx, config, what.pool())
	require.NoError(r.t, err)
	mark("ack-0")
	for i, step := range steps {
		require.NoError(r.t, step.do(ctx, d), step.name)
		mark(fmt.Sprint("ack-", i+1))
	}
	mark("end")
	now, err := look(ctx, d)
	require.NoError(r.t, err)
	require.Equal(r.t, steps[len(steps)-1].after, now, "without a power cut")
	require.NoError(r.t, d.Deactivate(ctx))
	r.unmount()
}

// play records a trial, and then cuts the power at the recorded moments.
func (r *rig) play(what trial) (p played) {
	t := r.t
	t.Helper()
	log := r.disk("log", 8<<10)
	defer r.detach(log)
	image := r.makeImage()
	steps := r.workload(image, what)
	r.record(log, steps, what)
	logFile, err := open(log.Path)
	require.NoError(t, err)
	defer logFile.Close()
	entries, err := readLog(logFile)
	require.NoError(t, err)

	first := slices.IndexFunc(entries, func(e logEntry) bool { return e.mark == "begin" })
	last := slices.IndexFunc(entries, func(e logEntry) bool { return e.mark == "end" })
	require.True(t, first > 0 && last > first, "the marks are in the log")
	entries = entries[:last]
	distinct := distinctCuts(entries)
	for n := first; n < last; n++ {
		if distinct[n] {
			p.recorded++
		}
	}
	every := 1
	if what.points > 0 {
		every = max(1, p.recorded/what.points)
	}

	target := r.disk("played", diskSize)
	defer r.detach(target)
	disk, err := open(target.Path)
	require.NoError(t, err)
	defer disk.Close()
	random := rand.New(rand.NewPCG(*seed, 1))
	m := moment{create: func(ctx context.Context) (*snapshots.Driver, error) {
		return snapshots.CreatePool(ctx, r.config(), what.pool())
	}}
	seen, tried := 0, 0
	try := func(n int, late []patch) {
		p.points++
		m.nth, m.late = p.points, late
		if err := r.check(target, m); err != nil {
			p.violations = append(p.violations, fmt.Sprintf("power cut at entry %d of %d with %d writes more, after step %d: %v", n, last, len(late), m.acked, err))
		}
	}
	for n, e := range entries {
		if strings.HasPrefix(e.mark, "ack-") {
			acked, err := strconv.Atoi(e.mark[len("ack-"):])
			require.NoError(t, err)
			m = after(steps, acked, image)
		}
		require.NoError(t, e.apply(logFile, disk))
		if n < first || !distinct[n] || what.enough > 0 && len(p.violations) >= what.enough {
			continue
		}
		if seen++; seen%every != 0 {
			continue
		}
		require.NoError(t, disk.Sync())
		try(n, nil)
		if tried++; tried%oneTorn == 0 {
			late, err := partOf(random, underWay(entries, n), logFile)
			require.NoError(t, err)
			if len(late) > 0 {
				try(n, late)
			}
		}
	}
	t.Logf("%d power cuts played at %d of %d moments over %d operations and %d log entries: %d violations", p.points, tried, p.recorded, len(steps), last, len(p.violations))
	return p
}

// distinctCuts says which entries are moments at which what is on the disk for sure, or
// what is acknowledged, is another than at the one before.
func distinctCuts(entries []logEntry) []bool {
	cuts := make([]bool, len(entries))
	changed := true
	for n, e := range entries {
		changed = changed || e.writes() || e.mark != ""
		if e.isCut() && changed {
			cuts[n], changed = true, false
		}
	}
	return cuts
}

// Everything acknowledged survives a power cut at any moment, and nothing else does.
func TestPowerCuts(t *testing.T) {
	row, end := resulttest.Begin(t, "power cut", *seed)
	defer end()
	for _, what := range []trial{
		{filesystem: "ext4", points: *points, rounds: *rounds},
		{filesystem: "xfs", points: (*points + 4) / 5},
	} {
		t.Run(what.filesystem, func(t *testing.T) {
			r := newRig(t)
			p := r.play(what)
			row.Points += p.points
			row.Violations += len(p.violations)
			for _, v := range p.violations {
				t.Error(v)
			}
			require.GreaterOrEqual(t, p.points, min(p.recorded, what.points))
		})
	}
}
