package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// PoolInfo describes the pool at one moment.
type PoolInfo struct {
	metadata.Pool
	Status    thinpool.Status
	Snapshots int             // time on the pool's clock: how many were ever made
	Trash     int             // removed snapshots whose space is yet to come back
	Unknown   []dmthin.ThinID // thin devices that no record knows
	Lost      int             // snapshots whose thin devices the pool has lost
}

// Pool describes the pool.
func (d *Driver) Pool(ctx context.Context) (PoolInfo, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return PoolInfo{}, err
	}
	defer end()
	s, err := d.pool.Status()
	if err != nil {
		return PoolInfo{}, class.Ensure(err)
	}
	info := PoolInfo{Pool: d.record, Status: s, Snapshots: int(d.clock.Load()), Unknown: slices.Clone(d.unknown)}
	thins, err := d.catalog.Thins()
	for _, t := range thins {
		switch t.State {
		case lifecycle.Trash:
			info.Trash++
		case lifecycle.Lost:
			info.Lost++
		}
	}
	return info, class.Ensure(err)
}

// GrowPool makes the pool's disks at least so many bytes large, and the pool with
// them, while it is in use. 0 leaves a disk as it is. A full or read-only pool
// works again afterwards. After an error it may be repeated.
func (d *Driver) GrowPool(ctx context.Context, data, meta uint64) error {
	end, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := possibleSize(data, meta); err != nil {
		return err
	}
	if meta > thinpool.MaxMetadata {
		return fmt.Errorf("%w: %d bytes of metadata; a pool can use %d", ErrInvalid, meta, uint64(thinpool.MaxMetadata))
	}
	grown, err := d.growing.Lock(ctx, d.record.Name)
	if err != nil {
		return err
	}
	defer grown()
	before, err := d.attach(ctx)
	if err != nil {
		return err
	}
	data, meta = roundUp(data, d.record.BlockSize), roundUp(meta, dmthin.MetaBlockSize)
	if data != 0 && data < before.Data.Size.Bytes() || meta != 0 && meta < before.Metadata.Size.Bytes() {
		return fmt.Errorf("%w: a pool never shrinks; it has %d bytes of data and %d of metadata", ErrInvalid, before.Data.Size.Bytes(), before.Metadata.Size.Bytes())
	}
	if err := d.disks.Grow(ctx, d.record, data, meta); err != nil {
		return class.Ensure(err)
	}
	spec, err := d.attach(ctx)
	if err != nil {
		return err
	}
	if d.record.ExistingPool == "" { // LVM grows its own
		if err := d.pool.Grow(spec); err != nil {
			return class.Ensure(err)
		}
	}
	_, err = d.pool.Working()
	d.reaper.wake()
	return class.Ensure(err)
}

// DestroyPool destroys the pool with every snapshot in it, gives its disks back and
// closes the driver. Nothing happens while somebody holds a snapshot: that is ErrInUse,
// names the device and leaves the pool as it was. So does a catalog that cannot be written.
// Later errors leave a pool that can be destroyed again, by this driver, by CreatePool or
// by Examine; every other operation is refused from then on.
func (d *Driver) DestroyPool(ctx context.Context) error {
	leave, err := d.gate.enterAlone(ctx)
	if err != nil {
		return err
	}
	defer leave()
	d.halt()
	down, err := d.takeThinsDown(ctx)
	if err != nil {
		d.work(ctx)
		return err
	}
	// From here on a crash is cleaned up by the next CreatePool.
	going := d.record
	going.State = metadata.Creating
	if err := d.catalog.SetPool(going); err != nil {
		err = errors.Join(err, d.bringBack(down))
		d.work(ctx)
		return class.Ensure(err)
	}
	d.gate.ruin(fmt.Errorf("%w: the pool %q is being destroyed", ErrPoolState, d.record.Name))
	if err := d.dismantle(ctx, going); err != nil {
		return class.Ensure(err)
	}
	d.gate.refuse()
	return errors.Join(d.release(), os.Remove(d.config.catalogPath()))
}

// Deactivate closes the driver and takes all its devices away, as before a shutdown.
// ErrInUse says that a snapshot is held; the driver then goes on. Open brings everything
// back.
func (d *Driver) Deactivate(ctx context.Context) error {
	leave, err := d.gate.enterAlone(ctx)
	if err != nil {
		return err
	}
	defer leave()
	d.halt()
	if _, err := d.takeThinsDown(ctx); err != nil {
		d.work(ctx)
		return err
	}
	err = d.pool.Deactivate(ctx)
	if err == nil {
		err = d.disks.Detach(ctx, d.record)
	}
	d.gate.refuse()
	return errors.Join(class.Ensure(err), d.release())
}

// takeThinsDown takes the devices of all thin devices away, if nobody holds one of them,
// and gives their ids. The background work, which holds devices itself, has ended. When one
// turns out to be held after all, those that were taken away before come back.
func (d *Driver) takeThinsDown(ctx context.Context) ([]dmthin.ThinID, error) {
	ids, err := d.pool.ActiveThins()
	if err != nil {
		return nil, class.Ensure(err)
	}
	for _, id := range ids {
		live, err := d.pool.Lookup(id)
		if err != nil {
			return nil, class.Ensure(err)
		}
		if live != nil && live.OpenCount > 0 {
			return nil, fmt.Errorf("%w: %s is open or mounted; unmount it first", ErrInUse, live.Path())
		}
	}
	for i, id := range ids {
		err := ctx.Err()
		if err == nil {
			err = d.pool.DeactivateThin(id)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, devmapper.ErrBusy) {
			err = fmt.Errorf("%w: %s is open or mounted; unmount it first (%w)", ErrInUse, d.pool.DevicePath(id), err)
		}
		return nil, class.Ensure(errors.Join(err, d.bringBack(ids[:i])))
	}
	return ids, nil
}

// bringBack activates again what was active.
func (d *Driver) bringBack(ids []dmthin.ThinID) error {
	all, err := d.catalog.Thins()
	for _, t := range all {
		if !slices.Contains(ids, t.ID) {
			continue
		}
		mode := devmapper.ReadWrite
		if t.Viewed {
			mode = devmapper.ReadOnly
		}
		if t.State == lifecycle.Active || t.Viewed {
			_, failed := d.pool.ActivateThin(t.ID, t.Size, mode)
			err = errors.Join(err, failed)
		}
	}
	return err
}
