package snapshots

import (
	"context"
	"fmt"
	"math"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// Prepare makes an active snapshot of a committed parent, or an empty one when
// parent is "", and says how to mount it. Its device is active. Errors: ErrExists,
// ErrNotFound (the parent), ErrInvalid, ErrNoSpace, ErrPoolState.
func (d *Driver) Prepare(ctx context.Context, key, parent string, opts ...Option) (Mount, error) {
	m, err := d.prepare(ctx, key, parent, apply(opts))
	return m, failed("prepare", key, err)
}

func apply(opts []Option) (s settings) {
	for _, o := range opts {
		o(&s)
	}
	return s
}

// possibleSize refuses sizes in bytes that no device has: rounded up they would begin
// from 0 again.
func possibleSize(sizes ...uint64) error {
	for _, n := range sizes {
		if n > math.MaxInt64/2 {
			return fmt.Errorf("%w: a size of %d bytes", ErrInvalid, n)
		}
	}
	return nil
}

func (d *Driver) prepare(ctx context.Context, key, parent string, o settings) (Mount, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return Mount{}, err
	}
	defer end()
	if err := possibleSize(o.size); err != nil {
		return Mount{}, err
	}
	from, err := d.source(ctx, parent)
	if err != nil {
		return Mount{}, err
	}
	if err := d.admit(); err != nil {
		return Mount{}, err
	}
	s, err := d.create(metadata.Snapshot{
		Key: key, Parent: parent, Kind: metadata.Active, Labels: o.labels, Template: from.template,
		Filesystem: from.filesystem, Size: max(from.size, d.pool.RoundUp(o.size)),
	}, from.of...)
	if err != nil {
		return Mount{}, err
	}
	err = d.pool.CreateSnapshotOfIdle(s.Thin, from.thin)
	if err == nil {
		d.clock.Add(1)
		_, err = d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadWrite)
	}
	m := d.mount(s)
	if err == nil && s.Size > from.size {
		err = d.host.Grow(ctx, m)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Mount{}, d.undo(s, lostNow(parent, err))
	}
	d.acknowledge(s)
	return m, nil
}

// source is what a new snapshot is taken from.
type source struct {
	thin       dmthin.ThinID
	size       uint64
	filesystem string
	template   string              // its name, if it is one
	of         []metadata.Snapshot // the record, if it is a snapshot's
}

// source gives the committed parent's thin device, or the template's.
func (d *Driver) source(ctx context.Context, parent string) (source, error) {
	if parent == "" {
		t, err := d.template(ctx)
		return source{thin: t.Thin, size: t.Size, filesystem: t.Filesystem, template: t.Name}, err
	}
	p, err := d.catalog.Get(parent)
	if err != nil {
		return source{}, fmt.Errorf("parent: %w", err)
	}
	if p.Kind != metadata.Committed {
		return source{}, fmt.Errorf("%w: parent %q is %s and not committed", ErrInvalid, parent, p.Kind)
	}
	if err := notLost(p); err != nil {
		return source{}, fmt.Errorf("parent: %w", err)
	}
	return source{thin: p.Thin, size: p.Size, filesystem: p.Filesystem, of: []metadata.Snapshot{p}}, nil
}

// View shows a committed snapshot read-only: the parent's own thin device is
// activated, no other is made. Without a parent it shows an empty filesystem.
func (d *Driver) View(ctx context.Context, key, parent string, opts ...Option) (Mount, error) {
	m, err := d.view(ctx, key, parent, apply(opts))
	return m, failed("view", key, err)
}

func (d *Driver) view(ctx context.Context, key, parent string, o settings) (Mount, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return Mount{}, err
	}
	defer end()
	from, err := d.source(ctx, parent)
	if err != nil {
		return Mount{}, err
	}
	s, err := d.create(metadata.Snapshot{
		Key: key, Parent: parent, Kind: metadata.View, Thin: from.thin,
		Size: from.size, Filesystem: from.filesystem, Labels: o.labels,
	}, from.of...)
	if err != nil {
		return Mount{}, err
	}
	unlock, err := d.thins.Lock(ctx, s.Thin)
	if err != nil {
		return Mount{}, d.undo(s, err)
	}
	defer unlock()
	if _, err := d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadOnly); err != nil {
		return Mount{}, d.undo(s, err)
	}
	d.acknowledge(s)
	return d.mount(s), nil
}

// Mounts says how to mount an active snapshot or a view, and activates its device
// if it is not active, as after a reboot.
func (d *Driver) Mounts(ctx context.Context, key string) (Mount, error) {
	m, err := d.mounts(ctx, key)
	return m, failed("mount", key, err)
}

func (d *Driver) mounts(ctx context.Context, key string) (Mount, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return Mount{}, err
	}
	defer end()
	s, unlock, err := d.hold(ctx, key)
	if err != nil {
		return Mount{}, err
	}
	defer unlock()
	if s.Kind == metadata.Committed {
		return Mount{}, fmt.Errorf("%w: %q is committed; make a view of it", ErrInvalid, key)
	}
	if err := notLost(s); err != nil {
		return Mount{}, err
	}
	mode := devmapper.ReadWrite
	if s.Kind == metadata.View {
		mode = devmapper.ReadOnly
	}
	if _, err := d.pool.ActivateThin(s.Thin, s.Size, mode); err != nil {
		return Mount{}, lostNow(key, err)
	}
	return d.mount(s), nil
}

func (d *Driver) mount(s metadata.Snapshot) Mount {
	return filesystem.MountOf(s.Filesystem, d.pool.DevicePath(s.Thin), s.Kind == metadata.View)
}
