package snapshots

import (
	"context"
	"fmt"
	"slices"

	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// thin is what catalog, pool and kernel say of one thin id.
type thin struct {
	metadata.Thin
	lifecycle.Observed
}

func (t thin) String() string {
	name := ""
	if t.Name != "" {
		name = fmt.Sprintf(" (%q)", t.Name)
	}
	return fmt.Sprintf("thin %s%s is %s", t.ID, name, t.Observed)
}

// observe compares the catalog, the pool's metadata and the kernel's devices, for every
// thin id that any of them has, in the order of the ids.
func (d *Driver) observe(ctx context.Context) ([]thin, error) {
	byID := map[dmthin.ThinID]*thin{}
	at := func(id dmthin.ThinID) *thin {
		t := byID[id]
		if t == nil {
			t = &thin{
				Thin:     metadata.Thin{ID: id, State: lifecycle.Unrecorded},
				Observed: lifecycle.Observed{State: lifecycle.Unrecorded, Device: lifecycle.NoDevice},
			}
			byID[id] = t
		}
		return t
	}
	recorded, err := d.catalog.Thins()
	if err != nil {
		return nil, err
	}
	for _, r := range recorded {
		t := at(r.ID)
		t.Thin, t.Observed.State, t.Observed.Viewed = r, r.State, r.Viewed
	}
	var older bool
	err = d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		time := m.Superblock().Time
		d.clock.Store(time)
		older = d.catalog.Clock() != 0 && time > d.catalog.Clock()
		devices, err := m.Devices(ctx)
		for _, dev := range devices {
			at(dev.ID).InPool = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	ids, err := d.pool.ActiveThins()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if at(id).Device, err = d.deviceOf(id); err != nil {
			return nil, err
		}
	}
	all := make([]thin, 0, len(byID))
	for _, t := range byID {
		if t.Older = older; t.Possible() {
			all = append(all, *t)
		}
	}
	slices.SortFunc(all, func(a, b thin) int { return int(a.ID) - int(b.ID) })
	return all, nil
}

func (d *Driver) deviceOf(id dmthin.ThinID) (lifecycle.Device, error) {
	live, err := d.pool.Lookup(id)
	switch {
	case err != nil || live == nil:
		return lifecycle.NoDevice, err
	case !live.HasTable:
		return lifecycle.NoTable, nil
	case live.Suspended:
		return lifecycle.Suspended, nil
	}
	return lifecycle.Running, nil
}
