package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/veneerdm/veneer/devmapper"
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
	Unknown   []dmthin.ThinID // thin devices that nobody knows
}

// Pool describes the pool.
func (d *Driver) Pool(ctx context.Context) (PoolInfo, error) {
	if err := d.begin(ctx); err != nil {
		return PoolInfo{}, err
	}
	s, err := d.pool.Status()
	if err != nil {
		return PoolInfo{}, translate(err)
	}
	trash, err := d.catalog.Trash()
	return PoolInfo{Pool: d.record, Status: s, Snapshots: int(d.clock.Load()), Trash: len(trash), Unknown: slices.Clone(d.unknown)}, translate(err)
}

// GrowPool makes the pool's disks at least so many bytes large, and the pool with
// them, while it is in use. 0 leaves a disk as it is. A full or read-only pool
// works again afterwards. After an error it may be repeated.
func (d *Driver) GrowPool(ctx context.Context, data, meta uint64) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	if err := possibleSize(data, meta); err != nil {
		return err
	}
	if meta > thinpool.MaxMetadata {
		return fmt.Errorf("%w: %d bytes of metadata; a pool can use %d", ErrInvalid, meta, uint64(thinpool.MaxMetadata))
	}
	d.growing.Lock()
	defer d.growing.Unlock()
	before, err := d.attach(ctx)
	if err != nil {
		return err
	}
	data, meta = roundUp(data, d.record.BlockSize), roundUp(meta, dmthin.MetaBlockSize)
	if data != 0 && data < before.Data.Size.Bytes() || meta != 0 && meta < before.Metadata.Size.Bytes() {
		return fmt.Errorf("%w: a pool never shrinks; it has %d bytes of data and %d of metadata", ErrInvalid, before.Data.Size.Bytes(), before.Metadata.Size.Bytes())
	}
	if err := d.disks.Grow(ctx, d.record, data, meta); err != nil {
		return translate(err)
	}
	spec, err := d.attach(ctx)
	if err != nil {
		return err
	}
	if d.record.ExistingPool == "" { // LVM grows its own
		if err := d.pool.Grow(spec); err != nil {
			return translate(err)
		}
	}
	_, err = d.pool.Working()
	d.reaper.wake()
	return translate(err)
}

// DestroyPool destroys the pool with every snapshot in it, gives its disks back
// and closes the driver. Nothing happens while somebody holds a snapshot: that is
// ErrInUse and names the device.
func (d *Driver) DestroyPool(ctx context.Context) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	lives, err := d.idle()
	if err != nil {
		d.work(ctx)
		return err
	}
	// From here on a crash is cleaned up by the next CreatePool.
	going := d.record
	going.State = metadata.Creating
	if err := d.catalog.SetPool(going); err != nil {
		d.work(ctx) // nothing has begun
		return translate(err)
	}
	if err := d.deactivateThins(lives); err != nil {
		return err
	}
	if err := d.dismantle(ctx, going); err != nil {
		return translate(err)
	}
	err = d.Close()
	return errors.Join(err, os.Remove(d.config.catalogPath()))
}

// Deactivate closes the driver and takes all its devices away, as before a
// shutdown. ErrInUse says that a snapshot is held. Open brings everything back.
func (d *Driver) Deactivate(ctx context.Context) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	lives, err := d.idle()
	if err != nil {
		d.work(ctx)
		return err
	}
	err = d.deactivateThins(lives)
	if err == nil {
		err = d.pool.Deactivate()
	}
	if err == nil {
		err = d.disks.Detach(ctx, d.record)
	}
	return errors.Join(translate(err), d.Close())
}

// idle ends the background work, which holds devices itself, and gives the active
// thin devices if nobody else holds one of them.
func (d *Driver) idle() ([]dmthin.ThinID, error) {
	d.halt()
	ids, err := d.pool.ActiveThins()
	if err != nil {
		return nil, translate(err)
	}
	for _, id := range ids {
		live, err := d.pool.Lookup(id)
		if err != nil {
			return nil, translate(err)
		}
		if live != nil && live.OpenCount > 0 {
			return nil, fmt.Errorf("%w: %s is open or mounted; unmount it first", ErrInUse, live.Path())
		}
	}
	return ids, nil
}

func (d *Driver) deactivateThins(ids []dmthin.ThinID) error {
	for _, id := range ids {
		if err := d.pool.DeactivateThin(id); err != nil {
			if errors.Is(err, devmapper.ErrBusy) {
				return fmt.Errorf("%w: %s is open or mounted; unmount it first (%w)", ErrInUse, d.pool.DevicePath(id), err)
			}
			return err
		}
	}
	return nil
}
