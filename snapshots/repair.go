package snapshots

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Repair is what RepairPool found and did.
type Repair struct {
	Pool    string
	Damage  error           // what was wrong; nil when nothing was, and nothing was done
	Guessed bool            // the superblock was lost: what was written last may be as it was before
	Kept    string          // file with the metadata as it was
	Thins   int             // thin devices that the repaired metadata has
	Lost    []string        // snapshots whose thin device could not be saved
	Shrunk  []string        // snapshots that have fewer blocks than the old metadata says
	Unknown []dmthin.ThinID // thin devices that no record leads to
}

// RepairPool makes a good copy of what can be read of a pool's metadata, with
// thin_repair, and puts it in the old one's place, which is kept in a file. The pool
// must not be active: ErrInUse. A second call goes on where a first one was
// interrupted. What the metadata does not lead to any more is named in the result;
// the next start marks it lost.
func RepairPool(ctx context.Context, c Config) (r Repair, err error) {
	d, lost, err := offline(ctx, c)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	r.Pool = d.record.Name
	switch active, err := d.active(); {
	case err != nil:
		return r, err
	case d.record.ExistingPool != "":
		return r, fmt.Errorf("%w: the pool is LVM's; repair it with \"lvconvert --repair %s\"", ErrInvalid, d.record.ExistingPool)
	case active:
		return r, fmt.Errorf("%w: pool %q is active, and a repair needs it at rest; stop what uses it and run \"veneer pool deactivate\"", ErrInUse, r.Pool)
	}
	path, dataBlocks, err := d.metadataDisk(ctx)
	if err != nil {
		return r, err
	}
	job := repairJob{path: path, blockSize: d.record.BlockSize, dataBlocks: dataBlocks, replace: d.record.Backing == metadata.BackingLoop}
	job.folder, job.name = filepath.Dir(path), filepath.Base(path)
	if !job.replace {
		job.folder, job.name = d.config.Root, d.record.Name+".metadata"
	}
	if r.Damage, err = job.damage(ctx); r.Damage == nil || err != nil {
		return r, class.Ensure(err)
	}
	if lost == nil {
		if job.thins, err = d.recordedThins(); err != nil {
			return r, class.Ensure(err)
		}
	}
	old := mappedIn(path)
	_, unreadable := superblockOf(path)
	r.Guessed = unreadable != nil
	if r.Kept, err = job.run(ctx); err != nil {
		return r, fmt.Errorf("repair the metadata of pool %q: %w", r.Pool, err)
	}
	if lost != nil {
		return r, nil
	}
	return r, d.compareRepaired(path, old, &r)
}

// mappedIn counts the mapped blocks of each thin device, as far as it can be read.
func mappedIn(path string) map[dmthin.ThinID]dmthin.DataBlocks {
	mapped := map[dmthin.ThinID]dmthin.DataBlocks{}
	f, err := dmthin.OpenDirect(path)
	if err != nil {
		return mapped
	}
	defer func() { _ = f.Close() }() // it was only read
	if m, err := dmthin.Open(f); err == nil {
		if devices, err := m.Devices(context.Background()); err == nil {
			for _, dev := range devices {
				mapped[dev.ID] = dev.Mapped
			}
		}
	}
	return mapped
}

// recordedThins are the thin devices that the catalog knows, whoever has them.
func (d *Driver) recordedThins() (ids []dmthin.ThinID, err error) {
	all, err := d.catalog.Thins()
	for _, t := range all {
		ids = append(ids, t.ID)
	}
	return ids, err
}

// compareRepaired says what the catalog has and the repaired metadata has not, and the
// other way round, as the next start will find it.
func (d *Driver) compareRepaired(path string, old map[dmthin.ThinID]dmthin.DataBlocks, r *Repair) error {
	now := mappedIn(path)
	r.Thins = len(now)
	recorded, err := d.catalog.Thins()
	if err != nil {
		return class.Ensure(err)
	}
	known := map[dmthin.ThinID]bool{}
	for _, t := range recorded {
		known[t.ID] = true
		blocks, inPool := now[t.ID]
		row := lifecycle.Decide(lifecycle.Observed{State: t.State, InPool: inPool, Device: lifecycle.NoDevice})
		switch {
		case row.Needs(lifecycle.MarkLost) || t.State == lifecycle.Lost && !inPool:
			r.Lost = append(r.Lost, t.Name)
		case inPool && t.State != lifecycle.Trash && blocks < old[t.ID]:
			r.Shrunk = append(r.Shrunk, t.Name)
		}
	}
	for id := range now {
		if !known[id] {
			r.Unknown = append(r.Unknown, id)
		}
	}
	slices.Sort(r.Unknown)
	return nil
}
