package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
)

var (
	points = flag.Int("points", 150, "how many power cuts to play, spread over the recorded ones; 0 for all")
	rounds = flag.Int("rounds", 20, "how many random operations come after the fixed ones")
	seed   = flag.Uint64("seed", 1, "of everything random")
)

const diskSize = 1 << 10 // MiB

func (r *rig) config() snapshots.Config {
	return snapshots.Config{Root: filepath.Join(r.mnt, "store")}
}

// record plays the workload on a disk whose writes are logged. The mark ack-N says
// that N steps are acknowledged.
func (r *rig) record(log loopback.Device, steps []step, config snapshots.Config) {
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
	d, err := snapshots.CreatePool(ctx, config, snapshots.PoolOptions{
		Name: "veneer-crash", DataSize: 256 << 20, MetadataSize: 8 << 20, BaseSize: 64 << 20,
	})
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

// played is what came of the power cuts that were tried.
type played struct {
	tried, recorded, entries int
	violations               []string
	image                    *image
}

// play records the workload, with so many random operations at its end, and then cuts
// the power at recorded flushes after the pool was made, as many as wanted, or all for 0,
// until so many violations are found.
func (r *rig) play(config snapshots.Config, wanted, rounds, enough int) (p played) {
	t := r.t
	t.Helper()
	log := r.disk("log", 8<<10)
	defer r.detach(log)
	p.image = r.makeImage()
	steps := r.workload(p.image, rounds)
	r.record(log, steps, config)
	logFile, err := open(log.Path)
	require.NoError(t, err)
	defer logFile.Close()
	entries, err := readLog(logFile)
	require.NoError(t, err)

	first := slices.IndexFunc(entries, func(e logEntry) bool { return e.mark == "ack-0" })
	last := slices.IndexFunc(entries, func(e logEntry) bool { return e.mark == "end" })
	require.True(t, first > 0 && last > first, "the marks are in the log")
	p.entries = last
	distinct := distinctCuts(entries[:last])
	for n := first; n < last; n++ {
		if distinct[n] {
			p.recorded++
		}
	}
	every := 1
	if wanted > 0 {
		every = max(1, p.recorded/wanted)
	}

	target := r.disk("played", diskSize)
	defer r.detach(target)
	disk, err := open(target.Path)
	require.NoError(t, err)
	defer disk.Close()
	acked, seen := 0, 0
	for n, e := range entries[:last] {
		if strings.HasPrefix(e.mark, "ack-") {
			acked, err = strconv.Atoi(e.mark[len("ack-"):])
			require.NoError(t, err)
		}
		require.NoError(t, e.apply(logFile, disk))
		if n < first || !distinct[n] || len(p.violations) == enough {
			continue
		}
		if seen++; seen%every != 0 {
			continue
		}
		require.NoError(t, disk.Sync())
		p.tried++
		before, next, img := world{}, (*step)(nil), (*image)(nil)
		if acked > 0 {
			before = steps[acked-1].after
			if steps[acked-1].image {
				img = p.image
			}
		}
		if acked < len(steps) {
			next = &steps[acked]
		}
		if err := r.check(target, before, next, img, p.tried); err != nil {
			p.violations = append(p.violations, fmt.Sprintf("power cut at entry %d of %d, after step %d: %v", n, last, acked, err))
		}
	}
	t.Logf("%d of %d power cuts played over %d operations and %d log entries: %d violations", p.tried, p.recorded, len(steps), last, len(p.violations))
	return p
}

// distinctCuts says which entries are moments at which the disk is, or what is
// acknowledged, another than at the one before.
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
	r := newRig(t)
	p := r.play(r.config(), *points, *rounds, math.MaxInt)
	row.Points, row.Violations = p.tried, len(p.violations)
	for _, v := range p.violations {
		t.Error(v)
	}
	require.GreaterOrEqual(t, p.tried, min(p.recorded, *points))
}

// The negative controls: a driver that breaks the protocol has to be caught, or the
// test above proves nothing.
func TestPowerCutsWouldBeNoticed(t *testing.T) {
	row, end := resulttest.Begin(t, "power cut, broken on purpose", *seed)
	defer end()
	for _, control := range []struct {
		name  string
		sabot func(*metadata.Options)
	}{
		{"the catalog's fsync dropped", func(o *metadata.Options) { o.NoSync = true }},
		{"the trash skipped", func(o *metadata.Options) { o.SkipTrash = true }},
		{"steps 1 and 2 exchanged", func(o *metadata.Options) { o.LateRecords = true }},
	} {
		t.Run(control.name, func(t *testing.T) {
			r := newRig(t)
			broken := r.config()
			control.sabot(&broken.Catalog)
			p := r.play(broken, 150, 20, 1)
			row.Controls++
			row.Points += p.tried
			require.NotEmpty(t, p.violations)
			row.Caught++
			t.Logf("for instance: %s", p.violations[0])
		})
	}
}

// check starts a store on a copy of a disk, as the power left it.
// img is the image that must be there. The filesystems and the files of the image are
// looked through at every tenth.
func (r *rig) check(disk loopback.Device, before world, next *step, img *image, nth int) (err error) {
	ctx := context.Background()
	cow := r.disk("cow", 512)
	defer func() {
		r.detach(cow)
		require.NoError(r.t, os.Remove(filepath.Join(r.dir, "cow")))
	}()
	copied := r.activate("veneer-crash-copy", disk.Size, snapshotTarget(disk, cow))
	defer r.remove(copied)
	r.mount(copied.Path())
	defer r.unmount()
	d, err := snapshots.Open(ctx, r.config())
	if err != nil {
		r.takeApart()
		return fmt.Errorf("the store does not start: %w", err)
	}
	defer func() {
		if closing := d.Close(); err == nil {
			err = closing
		}
		r.takeApart()
	}()
	now, err := look(ctx, d)
	if err != nil {
		return err
	}
	if !fits(now, before, next) {
		under := "nothing"
		if next != nil {
			under = next.name
		}
		return fmt.Errorf("the store holds %v, where %v was acknowledged and %s under way", summary(now), summary(before), under)
	}
	if img != nil && nth%10 == 0 {
		if err := img.whole(ctx, d); err != nil {
			return err
		}
	}
	if err := d.Drain(ctx); err != nil {
		return err
	}
	info, err := d.Pool(ctx)
	if err != nil {
		return err
	}
	if info.Trash != 0 || len(info.Unknown) != 0 {
		return fmt.Errorf("%d thin devices are left in the trash and %v belong to nobody", info.Trash, info.Unknown)
	}
	if _, err := d.Check(ctx); err != nil {
		return err
	}
	if nth%20 == 0 {
		if err := r.fsck(ctx, d); err != nil {
			return err
		}
	}
	if err := d.Deactivate(ctx); err != nil {
		return err
	}
	r.run("thin_check", filepath.Join(r.mnt, "store/pool/veneer-crash.metadata"))
	return nil
}

// takeApart removes what a store that did not start, or did not stop, left active.
func (r *rig) takeApart() {
	r.t.Helper()
	for _, thins := range []bool{true, false} {
		entries, err := r.dm.List("veneer-crash")
		require.NoError(r.t, err)
		for _, e := range entries {
			if e.Name == "veneer-crash-copy" || thins != (e.Name != "veneer-crash") {
				continue
			}
			n, err := devmapper.NewName(e.Name)
			require.NoError(r.t, err)
			require.NoError(r.t, r.dm.Remove(devmapper.ByName(n)))
		}
	}
	for _, file := range []string{"data", "metadata"} {
		devices, err := loopback.Find(filepath.Join(r.mnt, "store/pool/veneer-crash."+file))
		if err != nil {
			continue
		}
		for _, d := range devices {
			r.detach(d)
		}
	}
}

// summary shortens contents for an error.
func summary(w world) world {
	short := world{}
	for k, v := range w {
		if len(v) > 24 {
			v = fmt.Sprintf("%.8s... of %d bytes", v, len(v))
		}
		short[k] = v
	}
	return short
}

// fsck looks through the filesystem of every snapshot, none of which anybody has
// mounted; its journal may be left to replay.
func (r *rig) fsck(ctx context.Context, d *snapshots.Driver) error {
	return d.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindCommitted {
			return nil // its children show the same
		}
		m, err := d.Mounts(ctx, i.Key)
		if err != nil {
			return err
		}
		if out, err := exec.Command("e2fsck", "-fn", m.Source).CombinedOutput(); err != nil {
			return fmt.Errorf("the filesystem of %q: %w: %s", i.Key, err, out)
		}
		return nil
	})
}
