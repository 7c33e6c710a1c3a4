package snapshots

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Clone makes an active snapshot that holds what another active snapshot holds at
// this moment, and has the same parent. The original may be mounted and written to:
// its filesystem is frozen for the milliseconds that it takes. Errors: as Prepare.
func (d *Driver) Clone(ctx context.Context, key, original string, opts ...Option) (Mount, error) {
	m, err := d.clone(ctx, key, original, apply(opts))
	return m, failed("clone", key, err)
}

func (d *Driver) clone(ctx context.Context, key, original string, o settings) (Mount, error) {
	if err := d.begin(ctx); err != nil {
		return Mount{}, err
	}
	if err := possibleSize(o.size); err != nil {
		return Mount{}, err
	}
	from, err := d.get(original)
	if err != nil {
		return Mount{}, err
	}
	if from.Kind != metadata.Active {
		return Mount{}, fmt.Errorf("%w: %q is %s; prepare a child of it", ErrInvalid, original, from.Kind)
	}
	if err := d.admit(); err != nil {
		return Mount{}, err
	}
	made, err := d.making(key)
	if err != nil {
		return Mount{}, err
	}
	defer made()
	s, err := d.catalog.Create(metadata.Snapshot{
		Key: key, Parent: from.Parent, Template: from.Template, Kind: metadata.Active, Filesystem: from.Filesystem,
		Size: max(from.Size, d.pool.RoundUp(o.size)), Labels: merged(from.Labels, o.labels),
	})
	if err != nil {
		return Mount{}, err
	}
	err = d.copyThin(ctx, s.Thin, from.Thin)
	m := d.mount(s)
	if err == nil {
		d.clock.Add(1)
		_, err = d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadWrite)
	}
	if err == nil && s.Size > from.Size {
		err = d.host.Grow(ctx, m)
	}
	if err != nil {
		return Mount{}, d.undo(s, err)
	}
	return m, nil
}

// Rollback gives an active snapshot the content of another one: to names a
// committed or active snapshot, "" the parent. Who has the old content mounted
// keeps it until the unmount; the next mount shows the new. It answers how.
func (d *Driver) Rollback(ctx context.Context, key, to string) (Mount, error) {
	m, err := d.rollback(ctx, key, to)
	return m, failed("roll back", key, err)
}

func (d *Driver) rollback(ctx context.Context, key, to string) (Mount, error) {
	if err := d.begin(ctx); err != nil {
		return Mount{}, err
	}
	s, err := d.get(key)
	if err != nil {
		return Mount{}, err
	}
	if s.Kind != metadata.Active {
		return Mount{}, fmt.Errorf("%w: it is %s and not active", ErrInvalid, s.Kind)
	}
	from, err := d.origin(ctx, s, to)
	if err != nil {
		return Mount{}, err
	}
	if err := d.admit(); err != nil {
		return Mount{}, err
	}
	size := max(from.size, s.Size)
	fresh, err := d.catalog.Reserve(size, "rollback of "+key)
	if err != nil {
		return Mount{}, err
	}
	rolled := s
	rolled.Thin, rolled.Size = fresh, size
	err = d.copyThin(ctx, fresh, from.thin)
	if err == nil {
		d.clock.Add(1)
		_, err = d.pool.ActivateThin(fresh, size, devmapper.ReadWrite)
	}
	if err == nil && size > from.size {
		err = d.host.Grow(ctx, d.mount(rolled))
	}
	if err == nil {
		rolled, err = d.replaceThin(ctx, key, fresh, size)
	}
	if err != nil {
		return Mount{}, d.giveUp(fresh, err)
	}
	d.reaper.wake()
	return d.mount(rolled), nil
}

// copyThin takes a snapshot of a thin device that may be at work.
func (d *Driver) copyThin(ctx context.Context, fresh, origin dmthin.ThinID) error {
	unlock, err := d.thins.Lock(ctx, origin)
	if err != nil {
		return err
	}
	defer unlock()
	return d.pool.CreateSnapshot(fresh, origin)
}

// replaceThin waits for a commit of the snapshot that is under way: what it has flushed
// is what it commits.
func (d *Driver) replaceThin(ctx context.Context, key string, fresh dmthin.ThinID, size uint64) (metadata.Snapshot, error) {
	s, unlock, err := d.hold(ctx, key)
	if err != nil {
		return s, err
	}
	defer unlock()
	return d.catalog.ReplaceThin(key, fresh, size)
}

// giveUp lets the reaper have a reserved thin device that nobody needs any more.
func (d *Driver) giveUp(id dmthin.ThinID, cause error) error {
	if err := d.catalog.Release(id); err != nil {
		return fmt.Errorf("%w; releasing thin %s: %w; the next start will", cause, id, err)
	}
	d.reaper.wake()
	return cause
}

// origin is what a rollback copies.
func (d *Driver) origin(ctx context.Context, s metadata.Snapshot, to string) (source, error) {
	if to == "" {
		return d.source(ctx, s.Parent)
	}
	o, err := d.get(to)
	if err != nil {
		return source{}, err
	}
	if o.Filesystem != s.Filesystem {
		return source{}, fmt.Errorf("%w: %q has %s and %q has %s", ErrInvalid, to, o.Filesystem, s.Key, s.Filesystem)
	}
	return source{thin: o.Thin, size: o.Size, filesystem: o.Filesystem}, nil
}
