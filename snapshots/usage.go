package snapshots

import (
	"context"
	"errors"

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

func (d *Driver) usage(ctx context.Context, key string) (Usage, error) {
	if err := d.begin(ctx); err != nil {
		return Usage{}, err
	}
	s, err := d.get(key)
	if err != nil {
		return Usage{}, err
	}
	if s.Kind == metadata.View {
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
		return p.Thin, true, err
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
	if err := d.begin(ctx); err != nil {
		return 0, err
	}
	var ids []dmthin.ThinID
	for _, key := range keys {
		s, err := d.get(key)
		if err != nil {
			return 0, failed("measure", key, err)
		}
		if s.OwnsThin() {
			ids = append(ids, s.Thin)
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	var freed dmthin.DataBlocks
	err := d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) (err error) {
		freed, err = m.Freed(ctx, ids...)
		return err
	})
	if errors.Is(err, dmthin.ErrNoDevice) {
		err = classed{err, ErrInconsistent}
	}
	return d.pool.BlocksToBytes(freed), translate(err)
}
