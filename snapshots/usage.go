package snapshots

import (
	"context"
	"errors"
	"slices"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Usage counts what a snapshot adds to its parent from the pool's own mappings:
// exact to the block, blocks overwritten in place included, and only what has
// reached the pool. The cost follows the difference and not the size.
func (d *Driver) Usage(ctx context.Context, key string) (Usage, error) {
	u, err := d.usage(ctx, key)
	return u, failed("measure", key, err)
}

func (d *Driver) usage(ctx context.Context, key string) (u Usage, err error) {
	end, err := d.begin(ctx)
	if err != nil {
		return u, err
	}
	defer end()
	err = d.measured([]string{key}, func(records []metadata.Snapshot) error {
		u, err = d.usageOf(ctx, records[0])
		return err
	})
	return u, err
}

// measured has f look up in the pool's metadata what the records of some snapshots say.
// Records are read first: a snapshot that was removed or rolled back since may have lost
// its thin device, and then there is something newer to be said.
func (d *Driver) measured(keys []string, f func([]metadata.Snapshot) error) error {
	var before []dmthin.ThinID
	for {
		records := make([]metadata.Snapshot, len(keys))
		thins := make([]dmthin.ThinID, len(keys))
		for i, key := range keys {
			s, err := d.catalog.Get(key)
			if err != nil {
				return failed("measure", key, err)
			}
			records[i], thins[i] = s, s.Thin
		}
		err := f(records)
		if !errors.Is(err, dmthin.ErrNoDevice) {
			return err
		}
		if slices.Equal(thins, before) {
			return class.Wrap(err, ErrInconsistent)
		}
		before = thins
	}
}

func (d *Driver) usageOf(ctx context.Context, s metadata.Snapshot) (Usage, error) {
	if s.Kind == metadata.View || s.Lost { // neither has a block
		return Usage{}, nil
	}
	base, hasBase, err := d.below(s)
	if err != nil {
		return Usage{}, err
	}
	var mapped, added dmthin.DataBlocks
	err = d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		dev, err := m.Device(ctx, s.Thin)
		if err != nil {
			return err
		}
		mapped = dev.Mapped
		if !hasBase {
			added = mapped
			return nil
		}
		return m.Delta(ctx, base, s.Thin, func(r dmthin.Range) error {
			if r.Change != dmthin.Removed {
				added += r.Length
			}
			return nil
		})
	})
	if err != nil {
		return Usage{}, err
	}
	return Usage{Added: d.pool.BlocksToBytes(added), Mapped: d.pool.BlocksToBytes(mapped)}, nil
}

// below is the thin device that a snapshot was taken from: its parent's or the
// template's.
func (d *Driver) below(s metadata.Snapshot) (dmthin.ThinID, bool, error) {
	if s.Parent != "" {
		p, err := d.catalog.Get(s.Parent)
		return p.Thin, !p.Lost, err
	}
	t, err := d.catalog.Template(s.Template)
	if errors.Is(err, metadata.ErrNotFound) {
		return 0, false, nil
	}
	return t.Thin, true, err
}

// Freed is how many bytes the pool would get back if all of these snapshots were
// removed. Blocks that only they share among themselves count.
func (d *Driver) Freed(ctx context.Context, keys ...string) (uint64, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	var freed dmthin.DataBlocks
	err = d.measured(keys, func(records []metadata.Snapshot) error {
		var ids []dmthin.ThinID
		for _, s := range records {
			if s.OwnsThin() && !s.Lost {
				ids = append(ids, s.Thin)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		return d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) (err error) {
			freed, err = m.Freed(ctx, ids...)
			return err
		})
	})
	return d.pool.BlocksToBytes(freed), class.Ensure(err)
}
