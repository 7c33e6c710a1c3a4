package snapshots

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"syscall"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/thinpool"
)

// Commit finishes an active snapshot under another name and frees its key. It may
// be mounted still: what it holds at this moment is committed, and what is written
// afterwards is lost with the mount.
//
// What is committed can be mounted read-only from a view, whatever crashes: the thin
// device is looked at, past the page cache, and a log that was not unmounted is replayed
// before anything is recorded. If that fails the snapshot stays as it is. The record says
// what was found: a device that holds another filesystem than it was made with has that
// one from now on, and one that holds none that is known has Filesystem "", and nothing
// is promised but its bytes. Errors: ErrNotFound, ErrExists, ErrInvalid (also for a log
// that cannot be replayed), ErrNoSpace, ErrPoolState.
func (d *Driver) Commit(ctx context.Context, name, key string, opts ...Option) error {
	return failed("commit", key, d.commit(ctx, name, key, apply(opts)))
}

func (d *Driver) commit(ctx context.Context, name, key string, o settings) error {
	end, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	s, unlock, err := d.hold(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if s.Kind != metadata.Active {
		return class.Wrap(errors.New("it is "+string(s.Kind)+" and not active"), ErrInvalid)
	}
	if err := notLost(s); err != nil {
		return err
	}
	if have, err := d.catalog.Get(name); err == nil && name != key && !have.Lost {
		return class.Wrap(errors.New("a snapshot is called "+name+" already"), ErrExists)
	}
	live, activated, err := d.activeThin(s)
	if err != nil {
		return err
	}
	var kind string
	held := live.OpenCount > 0
	if !held {
		kind, held, err = d.settle(ctx, s)
	}
	if err == nil && !held {
		err = d.pool.DeactivateThin(s.Thin)
		held = errors.Is(err, devmapper.ErrBusy) // by now
	}
	switch {
	case held:
		return d.commitCopy(ctx, name, s, o)
	case err != nil && activated:
		return errors.Join(err, d.pool.DeactivateThin(s.Thin))
	case err != nil:
		return err
	}
	_, err = d.catalog.Commit(s, name, committed(kind, o))
	if err != nil && !activated {
		// It stays an active snapshot, and whoever prepared it knows its device.
		_, again := d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadWrite)
		err = errors.Join(err, again)
	}
	return err
}

// committed is what a commit changes in a record.
func committed(filesystem string, o settings) func(*metadata.Snapshot) {
	return func(s *metadata.Snapshot) {
		s.Filesystem, s.Labels = filesystem, merged(s.Labels, o.labels)
	}
}

// activeThin gives the block device of an active snapshot, and makes it if it is not
// there, as after a reboot.
func (d *Driver) activeThin(s metadata.Snapshot) (live *thinpool.Live, activated bool, err error) {
	live, err = d.pool.Lookup(s.Thin)
	if err != nil {
		return nil, false, err
	}
	if live == nil || live.Suspended || live.ReadOnly || live.Deferred {
		activated = live == nil
		live, err = d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadWrite)
		return live, activated, err
	}
	// The flush and the look go by the name: one that leads elsewhere, as a crash may leave
	// it, would have another device flushed and this one committed with a dirty log.
	return live, false, d.dm.MakeNode(live.Name, live.Dev)
}

// settle flushes a snapshot's device and replays the log on it, if it needs that and if
// nobody has the device open. It gives the kind of filesystem, "" for none that is known.
func (d *Driver) settle(ctx context.Context, s metadata.Snapshot) (kind string, held bool, err error) {
	state, err := d.host.Settle(ctx, d.pool.DevicePath(s.Thin))
	if err != nil || !state.NeedsReplay {
		return state.Kind, false, err
	}
	// The flush may have taken long. Two kernels that write to one filesystem destroy it.
	live, err := d.pool.Lookup(s.Thin)
	if err != nil || live != nil && live.OpenCount > 0 {
		return "", err == nil, err
	}
	kind, err = d.replay(ctx, s, state.Kind)
	return kind, false, err
}

// replay has the kernel replay a log that was not unmounted: a view could not, it is
// read-only. Afterwards the device is looked at again.
func (d *Driver) replay(ctx context.Context, s metadata.Snapshot, kind string) (string, error) {
	device := d.pool.DevicePath(s.Thin)
	if err := d.host.Replay(ctx, filesystem.MountOf(kind, device, false)); err != nil {
		return "", unreplayable(kind, err)
	}
	state, err := d.host.Settle(ctx, device)
	if err == nil && state.NeedsReplay {
		err = unreplayable(kind, errStillDirty)
	}
	return state.Kind, err
}

var errStillDirty = fmt.Errorf("%w: the log is dirty after an unmount", ErrInvalid)

// unreplayable says that a snapshot cannot be committed as it is. What the kernel says of
// a damaged filesystem is ErrInvalid: EINVAL, EUCLEAN for EFSCORRUPTED, EBADMSG for
// EFSBADCRC (fs/ext4/ext4.h and fs/xfs/xfs_linux.h).
func unreplayable(kind string, err error) error {
	for _, damaged := range []error{syscall.EINVAL, syscall.EUCLEAN, syscall.EBADMSG} {
		if errors.Is(err, damaged) {
			err = class.Wrap(err, ErrInvalid)
		}
	}
	return fmt.Errorf("its %s filesystem was not unmounted, and the log cannot be replayed: %w; repair it with the filesystem's own tools and commit again, or remove the snapshot", kind, err)
}

// commitCopy commits a copy of a snapshot that somebody holds: a committed snapshot
// must not change, and its holder may write. The copy is looked at itself: a frozen xfs
// leaves its log to be replayed on purpose (xfs_log_quiesce in fs/xfs/xfs_log.c), and
// whoever holds the raw device froze nothing.
func (d *Driver) commitCopy(ctx context.Context, name string, s metadata.Snapshot, o settings) error {
	if err := d.admit(); err != nil {
		return err
	}
	fresh, err := d.catalog.Reserve(s.Size, "commit of "+s.Key)
	if err != nil {
		return err
	}
	var kind string
	if err = d.pool.CreateSnapshot(fresh, s.Thin); err == nil {
		d.clock.Add(1)
		copied := s
		copied.Thin = fresh
		kind, err = d.settleCopy(ctx, copied)
	}
	if err == nil {
		_, err = d.catalog.CommitCopy(s, name, fresh, committed(kind, o))
	}
	if err != nil {
		return d.giveUp(fresh, err)
	}
	d.reaper.wake()
	return nil
}

// settleCopy is settle for a thin device that is not active and that nobody knows of.
func (d *Driver) settleCopy(ctx context.Context, s metadata.Snapshot) (kind string, err error) {
	live, err := d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadWrite)
	if err != nil {
		return "", err
	}
	state, err := d.host.Settle(ctx, live.Path())
	kind = state.Kind
	if err == nil && state.NeedsReplay {
		kind, err = d.replay(ctx, s, kind)
	}
	return kind, errors.Join(err, d.pool.DeactivateThin(s.Thin))
}

func merged(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	m := make(map[string]string, len(a)+len(b))
	maps.Copy(m, a)
	maps.Copy(m, b)
	return m
}
