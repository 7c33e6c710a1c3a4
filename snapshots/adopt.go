package snapshots

import (
	"context"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// adopt records thin devices that the pool has and no record knows as active snapshots,
// under names made of their ids. What they were called and which they stood on is lost;
// what they hold is not. One that cannot be looked at keeps its id, and the error is in
// its outcome.
func (d *Driver) adopt(ctx context.Context, these []*outcome) error {
	ids := map[dmthin.ThinID]*outcome{}
	for _, o := range these {
		ids[o.ID] = o
	}
	ends, err := d.mappedEnds(ctx, func(id dmthin.ThinID) bool { return ids[id] != nil })
	if err != nil {
		return err
	}
	var adopted []metadata.Snapshot
	for _, o := range these {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := d.describe(o.ID, d.pool.BlocksToBytes(ends[o.ID]))
		if err != nil {
			o.err = fmt.Errorf("look at thin %s: %w", o.ID, err)
			continue
		}
		if s.Key, err = d.freeKey(d.recoveredKey(o.ID)); err != nil {
			return err
		}
		s.Kind = metadata.Active
		adopted = append(adopted, s)
		o.Name = s.Key
	}
	return d.catalog.Adopt(adopted)
}

// freeKey gives a key that no snapshot has.
func (d *Driver) freeKey(key string) (string, error) {
	for n, try := 1, key; ; n++ {
		if n > 1 {
			try = fmt.Sprint(key, ".", n)
		}
		if _, err := d.catalog.Get(try); errors.Is(err, metadata.ErrNotFound) {
			return try, nil
		} else if err != nil {
			return "", err
		}
	}
}

// recoveredKey names what has lost its name.
func (d *Driver) recoveredKey(id dmthin.ThinID) string {
	if d.config.RecoveredKey != nil {
		return d.config.RecoveredKey(id)
	}
	return "recovered-" + id.String()
}

// mappedEnds gives the number of the first block behind all mapped ones, at least 1, of
// those thin devices that are wanted.
func (d *Driver) mappedEnds(ctx context.Context, wanted func(dmthin.ThinID) bool) (map[dmthin.ThinID]dmthin.DataBlocks, error) {
	ends := map[dmthin.ThinID]dmthin.DataBlocks{}
	err := d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		d.clock.Store(m.Superblock().Time)
		devices, err := m.Devices(ctx)
		if err != nil {
			return err
		}
		for _, dev := range devices {
			if !wanted(dev.ID) {
				continue
			}
			end := dmthin.DataBlocks(1)
			if err := m.Mappings(ctx, dev.ID, func(r dmthin.Run) error { end = r.Virtual + r.Length; return nil }); err != nil {
				return err
			}
			ends[dev.ID] = end
		}
		return nil
	})
	return ends, err
}

// describe tells of a thin device, whose blocks end at a byte, what its device and the
// filesystem on it say. A device that shows a committed snapshot is active read-only;
// nothing else tells one.
func (d *Driver) describe(id dmthin.ThinID, end uint64) (metadata.Snapshot, error) {
	s := metadata.Snapshot{Key: d.recoveredKey(id), Thin: id, Kind: metadata.Active, Size: d.pool.RoundUp(end)}
	live, err := d.pool.Lookup(id)
	if err != nil {
		return s, err
	}
	if live != nil && live.HasTable {
		if live.Suspended {
			if err := d.pool.ResumeThin(id); err != nil {
				return s, err
			}
		}
		if live.ReadOnly {
			s.Kind = metadata.Committed
		}
		table, err := d.dm.Table(devmapper.ByName(live.Name))
		if err != nil {
			return s, err
		}
		s.Size = 0
		for _, line := range table {
			s.Size += line.Length.Bytes()
		}
		// The device may be one that a process died of looking at: see below.
		err = d.identify(&s, live.Path())
		return s, err
	}
	// Writable, though nothing is written: one that is left behind by a process that dies
	// here is not taken for the device of a committed snapshot.
	if live, err = d.pool.ActivateThin(id, s.Size, devmapper.ReadWrite); err != nil {
		return s, err
	}
	err = d.identify(&s, live.Path())
	return s, errors.Join(err, d.pool.DeactivateThin(id))
}

// mostAdopted is the largest size in bytes that is believed of a filesystem whose thin
// device has lost its record: a guest writes the superblock, and a device of 2^62 bytes
// would take hours to discard.
const mostAdopted = 1 << 50

// identify takes from a filesystem's superblock what it is and how large its device was.
func (d *Driver) identify(s *metadata.Snapshot, device string) error {
	found, err := d.host.Identify(device)
	if err != nil {
		return err
	}
	s.Filesystem = found.Kind
	if found.Size <= mostAdopted {
		s.Size = max(s.Size, d.pool.RoundUp(found.Size))
	}
	return nil
}
