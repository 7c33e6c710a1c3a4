package crash_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/lifetest"
)

// A moment is when the power is cut, and what has to be there then.
type moment struct {
	// create makes the pool, which is not acknowledged yet; nil when it is.
	create func(context.Context) (*snapshots.Driver, error)
	acked  int     // steps that were acknowledged
	last   *step   // of them; nil for none
	before world   // what they promised
	next   *step   // which was perhaps under way; nil at the end
	image  *image  // that has to be whole; nil for none
	late   []patch // what reached the disk besides what was flushed
	nth    int     // of the moments played, from 1
}

// after is the moment after so many steps.
func after(steps []step, acked int, img *image) moment {
	m := moment{acked: acked, before: world{}}
	if acked > 0 {
		m.last = &steps[acked-1]
		m.before = m.last.after
		if m.last.image {
			m.image = img
		}
	}
	if acked < len(steps) {
		m.next = &steps[acked]
	}
	return m
}

// check starts a store on a copy of a disk, as the power left it. The filesystems and
// the files of the image are looked through every so often: that takes longest.
func (r *rig) check(disk loopback.Device, m moment) (err error) {
	ctx := context.Background()
	cow := r.disk("cow", 512)
	defer func() {
		r.detach(cow)
		require.NoError(r.t, os.Remove(filepath.Join(r.dir, "cow")))
	}()
	copied := r.activate("veneer-crash-copy", disk.Size, snapshotTarget(disk, cow))
	defer r.remove(copied)
	if len(m.late) > 0 {
		f, err := open(copied.Path())
		require.NoError(r.t, err)
		for _, p := range m.late {
			_, err := f.WriteAt(p.data, p.at)
			require.NoError(r.t, err)
		}
		require.NoError(r.t, f.Sync())
		require.NoError(r.t, f.Close())
	}
	r.mount(copied.Path())
	defer r.unmount()
	d, err := snapshots.Open(ctx, r.config())
	if m.create != nil && errors.Is(err, snapshots.ErrNotFound) {
		d, err = m.create(ctx)
	}
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
	if !fits(now, m.before, m.next) {
		under := "nothing"
		if m.next != nil {
			under = m.next.name
		}
		return fmt.Errorf("the store holds %v, where %v was acknowledged and %s under way", summary(now), summary(m.before), under)
	}
	if m.image != nil && m.nth%10 == 0 {
		if err := m.image.whole(ctx, d); err != nil {
			return err
		}
	}
	if err := lifetest.Whole(ctx, d); err != nil {
		return err
	}
	again := m.next != nil && m.next.halfway
	if again {
		if err := m.next.do(ctx, d); err != nil {
			return fmt.Errorf("%s, again: %w", m.next.name, err)
		}
	}
	if m.nth%20 == 0 || again || m.last != nil && m.last.halfway {
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
// mounted. Each was mounted since the power came back, so that its journal is replayed.
func (r *rig) fsck(ctx context.Context, d *snapshots.Driver) error {
	look := map[string][]string{"ext4": {"e2fsck", "-fn"}, "xfs": {"xfs_repair", "-n"}}
	return d.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindCommitted {
			return nil // its children show the same
		}
		m, err := d.Mounts(ctx, i.Key)
		if err != nil {
			return err
		}
		argv := append(look[i.Filesystem], m.Source)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("the filesystem of %q: %w: %s", i.Key, err, out)
		}
		return nil
	})
}
