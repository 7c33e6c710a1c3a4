package snapshots

import (
	"context"
	"errors"
	"io/fs"
	"maps"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Commit finishes an active snapshot under another name and frees its key. It may
// be mounted still: what it holds at this moment is committed, and what is written
// afterwards is lost with the mount. Errors: ErrNotFound, ErrExists, ErrInvalid,
// ErrPoolState.
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
	change := func(s *metadata.Snapshot) { s.Labels = merged(s.Labels, o.labels) }

	state, err := d.host.Settle(ctx, d.pool.DevicePath(s.Thin))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // not active: nothing can be in flight
	}
	if err != nil {
		return err
	}
	if state.NeedsReplay {
		live, err := d.pool.Lookup(s.Thin)
		if err != nil {
			return err
		}
		if live != nil && live.OpenCount == 0 {
			// Whoever wrote it never unmounted. A read-only view could not replay the log.
			if err := d.host.Replay(ctx, d.mount(s)); err != nil {
				return err
			}
		}
	}
	err = d.pool.DeactivateThin(s.Thin)
	if errors.Is(err, devmapper.ErrBusy) {
		return d.commitCopy(ctx, name, s, change)
	}
	if err != nil {
		return err
	}
	_, err = d.catalog.Commit(s, name, change)
	return err
}

// commitCopy commits a copy of a snapshot that somebody holds: a committed snapshot
// must not change, and its holder may write.
func (d *Driver) commitCopy(ctx context.Context, name string, s metadata.Snapshot, change func(*metadata.Snapshot)) error {
	fresh, err := d.catalog.Reserve(s.Size, "commit of "+s.Key)
	if err != nil {
		return err
	}
	err = d.pool.CreateSnapshot(fresh, s.Thin)
	if err == nil {
		d.clock.Add(1)
	}
	if err == nil {
		err = d.cleanCopy(ctx, s, fresh)
	}
	if err == nil {
		_, err = d.catalog.CommitCopy(s, name, fresh, change)
	}
	if err != nil {
		return d.giveUp(fresh, err)
	}
	d.reaper.wake()
	return nil
}

// cleanCopy replays the log of a copy, if it needs that. A frozen xfs leaves its log to
// be replayed on purpose (xfs_log_quiesce in fs/xfs/xfs_log.c), and whoever holds the raw
// device froze nothing.
func (d *Driver) cleanCopy(ctx context.Context, s metadata.Snapshot, id dmthin.ThinID) error {
	live, err := d.pool.ActivateThin(id, s.Size, devmapper.ReadWrite)
	if err != nil {
		return err
	}
	s.Thin = id
	state, err := d.host.Settle(ctx, live.Path())
	if err == nil && state.NeedsReplay {
		err = d.host.Replay(ctx, d.mount(s))
	}
	return errors.Join(err, d.pool.DeactivateThin(id))
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
