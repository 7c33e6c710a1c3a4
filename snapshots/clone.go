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
	end, err := d.begin(ctx)
	if err != nil {
		return Mount{}, err
	}
	defer end()
	if err := possibleSize(o.size); err != nil {
		return Mount{}, err
	}
	from, unlock, err := d.hold(ctx, original)
	if err != nil {
		return Mount{}, err
	}
	defer unlock()
	if from.Kind != metadata.Active {
		return Mount{}, fmt.Errorf("%w: %q is %s; prepare a child of it", ErrInvalid, original, from.Kind)
	}
	if err := notLost(from); err != nil {
		return Mount{}, err
	}
	if err := d.admit(); err != nil {
		return Mount{}, err
	}
	s, err := d.create(metadata.Snapshot{
		Key: key, Parent: from.Parent, Template: from.Template, Kind: metadata.Active, Filesystem: from.Filesystem,
		Size: max(from.Size, d.pool.RoundUp(o.size)), Labels: merged(from.Labels, o.labels),
	}, from)
	if err != nil {
		return Mount{}, err
	}
	err = d.pool.CreateSnapshot(s.Thin, from.Thin)
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
	d.acknowledge(s)
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
	end, err := d.begin(ctx)
	if err != nil {
		return Mount{}, err
	}
	defer end()
	s, from, unlock, err := d.holdWithOrigin(ctx, key, to)
	if err != nil {
		return Mount{}, err
	}
	defer unlock()
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
	err = d.pool.CreateSnapshot(fresh, from.thin)
	if err == nil {
		d.clock.Add(1)
		_, err = d.pool.ActivateThin(fresh, size, devmapper.ReadWrite)
	}
	if err == nil && size > from.size {
		err = d.host.Grow(ctx, d.mount(rolled))
	}
	if err == nil {
		rolled, err = d.catalog.ReplaceThin(s, fresh, size)
	}
	if err != nil {
		return Mount{}, d.giveUp(fresh, err)
	}
	d.reaper.wake()
	return d.mount(rolled), nil
}

// giveUp lets the reaper have a reserved thin device that nobody needs any more.
func (d *Driver) giveUp(id dmthin.ThinID, cause error) error {
	if err := d.catalog.Release(id); err != nil {
		return fmt.Errorf("%w; releasing thin %s: %w; the next start will", cause, id, err)
	}
	d.reaper.wake()
	return cause
}

// holdWithOrigin gives the record of an active snapshot and what a rollback of it
// copies. No other operation touches the thin devices of either until unlock is called.
func (d *Driver) holdWithOrigin(ctx context.Context, key, to string) (s metadata.Snapshot, from source, unlock func(), err error) {
	for {
		if s, from, err = d.withOrigin(ctx, key, to); err != nil {
			return s, from, nil, err
		}
		if unlock, err = d.lockThins(ctx, s.Thin, from.thin); err != nil {
			return s, from, nil, err
		}
		now, nowFrom, err := d.withOrigin(ctx, key, to)
		if err == nil && now.Thin == s.Thin && nowFrom.thin == from.thin {
			return now, nowFrom, unlock, nil
		}
		unlock()
	}
}

func (d *Driver) withOrigin(ctx context.Context, key, to string) (s metadata.Snapshot, from source, err error) {
	if s, err = d.catalog.Get(key); err != nil {
		return s, from, err
	}
	if s.Kind != metadata.Active {
		return s, from, fmt.Errorf("%w: it is %s and not active", ErrInvalid, s.Kind)
	}
	if to == "" {
		from, err = d.source(ctx, s.Parent)
		return s, from, err
	}
	o, err := d.catalog.Get(to)
	if err != nil {
		return s, from, err
	}
	if err := notLost(o); err != nil {
		return s, from, err
	}
	if o.Filesystem != s.Filesystem {
		return s, from, fmt.Errorf("%w: %q has %s and %q has %s", ErrInvalid, to, o.Filesystem, s.Key, s.Filesystem)
	}
	return s, source{thin: o.Thin, size: o.Size, filesystem: o.Filesystem}, nil
}

// lockThins locks two thin devices, the lower number first: of two snapshots that are
// rolled back to each other, one waits.
func (d *Driver) lockThins(ctx context.Context, a, b dmthin.ThinID) (unlock func(), err error) {
	first, err := d.thins.Lock(ctx, min(a, b))
	if err != nil || a == b {
		return first, err
	}
	second, err := d.thins.Lock(ctx, max(a, b))
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}
