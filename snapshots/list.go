package snapshots

import (
	"context"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
)

func (d *Driver) info(s metadata.Snapshot) Info {
	return Info{
		Key: s.Key, Parent: s.Parent, Kind: Kind(s.Kind), Size: s.Size, Filesystem: s.Filesystem,
		ThinID: s.Thin, Device: d.pool.DevicePath(s.Thin), Labels: s.Labels, Lost: s.Lost, Created: s.Created, Updated: s.Updated,
	}
}

// Stat describes one snapshot, or says ErrNotFound.
func (d *Driver) Stat(ctx context.Context, key string) (Info, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return Info{}, failed("stat", key, err)
	}
	defer end()
	s, err := d.catalog.Get(key)
	if err != nil {
		return Info{}, failed("stat", key, err)
	}
	return d.info(s), nil
}

// Walk calls f with every snapshot, in the order of their keys, as they were when
// Walk began. f may use the driver. An error from f ends the walk.
func (d *Driver) Walk(ctx context.Context, f func(context.Context, Info) error) error {
	all, err := d.snapshots(ctx)
	if err != nil {
		return class.Ensure(err)
	}
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(ctx, d.info(s)); err != nil {
			return err
		}
	}
	return nil
}

// snapshots gives the records as of one moment. The driver may be closed afterwards: f of
// a Walk may take as long as it wants.
func (d *Driver) snapshots(ctx context.Context) ([]metadata.Snapshot, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return d.catalog.Snapshots()
}

// Children gives the keys of the snapshots and views on top of a snapshot, in order.
func (d *Driver) Children(ctx context.Context, key string) ([]string, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return nil, failed("list children of", key, err)
	}
	defer end()
	if _, err := d.catalog.Get(key); err != nil {
		return nil, failed("list children of", key, err)
	}
	return d.catalog.Children(key), nil
}

// SetLabels changes a snapshot's labels and gives its new description. change gets
// the labels as they are, which may be nil, and gives those that shall be.
func (d *Driver) SetLabels(ctx context.Context, key string, change func(map[string]string) (map[string]string, error)) (Info, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return Info{}, failed("label", key, err)
	}
	defer end()
	s, err := d.catalog.Get(key)
	if err == nil {
		s, err = d.catalog.Update(s, func(s *metadata.Snapshot) (err error) {
			s.Labels, err = change(s.Labels)
			return err
		})
	}
	if err != nil {
		return Info{}, failed("label", key, err)
	}
	return d.info(s), nil
}
