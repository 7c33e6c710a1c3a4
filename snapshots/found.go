package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/thinpool"
)

// offline is a driver that has read the pool's record and activates nothing. When
// the catalog is lost or damaged the record is put together from what is found, and
// lost says what was wrong.
func offline(ctx context.Context, c Config) (d *Driver, lost error, err error) {
	if d, err = newDriver(c); err != nil {
		return nil, nil, err
	}
	d.catalog, err = c.openCatalog(c.catalogPath(), metadata.Options{MustExist: true})
	if err == nil {
		err = d.readRecord()
	} else if errors.Is(err, metadata.ErrNotFound) || errors.Is(err, metadata.ErrCorrupt) {
		lost = err
		d.record, err = d.findPool()
	}
	if err != nil {
		if lost != nil {
			err = errors.Join(d.explainMissing(lost), err)
		}
		return nil, lost, errors.Join(class.Ensure(err), d.release())
	}
	if d.disks == nil {
		d.disks = disk.ForBacking(d.record.Backing)
	}
	return d, lost, nil
}

// findPool puts a pool's record together from an active device that stands on the
// store's files, or from the files alone.
func (d *Driver) findPool() (p metadata.Pool, err error) {
	p = metadata.Pool{
		State: metadata.Ready, Backing: metadata.BackingLoop, BlockSize: DefaultBlockSize,
		ErrorWhenFull: true, Filesystem: filesystem.Default, BaseSize: DefaultBaseSize,
	}
	files, err := filepath.Glob(filepath.Join(d.config.Root, "pool", "*.metadata"))
	if err != nil {
		return p, err
	}
	switch len(files) {
	case 0:
		return p, fmt.Errorf("%w: no file of a pool is in %s", ErrNotFound, filepath.Join(d.config.Root, "pool"))
	case 1:
	default:
		return p, fmt.Errorf("%w: %s are there; move those away that are not the store's", ErrInconsistent, strings.Join(files, " and "))
	}
	p.Metadata = files[0]
	p.Data = strings.TrimSuffix(files[0], ".metadata") + ".data"
	p.Name = strings.TrimSuffix(filepath.Base(files[0]), ".metadata")
	if _, err := os.Stat(p.Data); err != nil {
		return p, fmt.Errorf("the data that belongs to %s: %w", p.Metadata, err)
	}
	if sb, err := superblockOf(p.Metadata); err == nil {
		p.BlockSize = uint64(sb.DataBlockSize) * devmapper.SectorSize
	}
	name, err := devmapper.NewName(p.Name)
	if err != nil {
		return p, err
	}
	table, err := d.dm.Table(devmapper.ByName(name))
	if err == nil && len(table) == 1 {
		if t, ok := table[0].Target.(devmapper.ThinPool); ok {
			p.BlockSize, p.LowWater = t.BlockSize.Bytes(), t.LowWater
			p.ErrorWhenFull, p.ExposeDeletedData = t.ErrorIfNoSpace, t.SkipBlockZeroing
		}
	}
	if errors.Is(err, devmapper.ErrNotExist) {
		err = nil
	}
	return p, err
}

func superblockOf(path string) (sb dmthin.Superblock, err error) {
	f, err := dmthin.OpenDirect(path)
	if err != nil {
		return sb, err
	}
	m, err := dmthin.Open(f)
	if err == nil {
		sb = m.Superblock()
	}
	return sb, errors.Join(err, f.Close())
}

// active says whether the pool's device is there.
func (d *Driver) active() (bool, error) {
	if d.record.ExistingPool != "" {
		return true, nil // LVM's, which nothing here takes away
	}
	info, err := thinpool.DevicesOf(d.dm, d.record.Name).LookupPool()
	return info != nil, err
}

// TakeDown takes all devices of a store's pool away, as [Driver.Deactivate] does,
// without asking the pool: it is for one that no driver opens any more, and for a
// store that nobody has open. ErrInUse says that a snapshot is held.
func TakeDown(ctx context.Context, c Config) (err error) {
	d, _, err := offline(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	devices := thinpool.DevicesOf(d.dm, d.record.Name)
	thins, err := devices.ActiveThins()
	if err != nil {
		return err
	}
	for _, id := range thins {
		live, err := devices.Lookup(id)
		if err != nil {
			return err
		}
		if live != nil && live.OpenCount > 0 {
			return fmt.Errorf("%w: %s is open or mounted; unmount it first", ErrInUse, live.Path())
		}
	}
	for _, id := range thins {
		if err := devices.DeactivateThin(id); err != nil {
			return err
		}
	}
	if err := d.dismantlePoolDevice(ctx); err != nil {
		return err
	}
	return d.disks.Detach(ctx, d.record)
}

// dismantlePoolDevice takes the pool's own device away, but for LVM's.
func (d *Driver) dismantlePoolDevice(ctx context.Context) error {
	if d.record.ExistingPool != "" {
		return nil
	}
	return d.dismantlePool(ctx, d.record)
}

// CheckAtRest verifies all metadata of a pool that is not active, with this program's
// reader and with thin_check, and the catalog's own rules. It activates and writes
// nothing. active says that the pool is active, and nothing was looked at.
func CheckAtRest(ctx context.Context, c Config) (sb dmthin.Superblock, active bool, err error) {
	d, lost, err := offline(ctx, c)
	if err != nil {
		return sb, false, err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	if active, err = d.active(); active || err != nil {
		return sb, active, err
	}
	if lost != nil {
		return sb, false, d.explainMissing(lost)
	}
	path, _, err := d.metadataDisk(ctx)
	if err != nil {
		return sb, false, err
	}
	err = thinpool.Verify(ctx, path)
	if err == nil {
		err = thinCheck(ctx, path)
	}
	if err == nil {
		sb, err = superblockOf(path)
	}
	return sb, false, class.Ensure(errors.Join(err, d.catalog.Check()))
}

// metadataDisk is where the metadata of a pool that is not active can be read and
// written, and how many data blocks the pool has.
func (d *Driver) metadataDisk(ctx context.Context) (path string, dataBlocks uint64, err error) {
	data, meta, err := d.disks.Attach(ctx, d.record)
	if err != nil {
		return "", 0, fmt.Errorf("the disks of pool %q: %w", d.record.Name, err)
	}
	path = meta.Path
	if d.record.Backing == metadata.BackingLoop {
		// The file itself: it may be replaced, and no device is to stand on the old one.
		if err := d.disks.Detach(ctx, d.record); err != nil {
			return "", 0, err
		}
		path = d.record.Metadata
	}
	return path, data.Size.Bytes() / d.record.BlockSize, nil
}
