package snapshots

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/thinpool"
)

// PoolOptions say what pool to make. The zero value of a field is a default.
type PoolOptions struct {
	Name    string           // "veneer"
	Backing metadata.Backing // loop
	// Data and Metadata are paths: of files to be made (loop; in the store's folder
	// by default) or of blank block devices (devices).
	Data, Metadata string
	VolumeGroup    string // lvm: where the two logical volumes are made
	ExistingPool   string // lvm: VG/LV of an LVM thin pool without thin volumes, instead

	DataSize     uint64 // bytes, 100 GiB for files
	MetadataSize uint64 // bytes, by the size of the data
	BlockSize    uint64 // bytes, 64 KiB
	Filesystem   string // of base snapshots, a name of package filesystem; its default
	MkfsOptions  []string
	BaseSize     uint64 // bytes, 10 GiB
	// QueueWhenFull makes writes to a full pool wait for it to grow, up to the
	// kernel's no_space_timeout. Otherwise they fail at once.
	QueueWhenFull bool
	// ExposeDeletedData skips the zeroing of new blocks. Containers can then read
	// what deleted ones left.
	ExposeDeletedData bool
}

// Sizes that a pool gets when nothing is said.
const (
	DefaultDataSize  = 100 << 30
	DefaultBaseSize  = 10 << 30
	DefaultBlockSize = 64 << 10
	defaultThins     = 10000 // that metadata is sized for
)

// MinDataSize is the size of a pool in bytes below which nothing fits into it.
const MinDataSize = 16 << 20

func (o PoolOptions) record(root string) (metadata.Pool, error) {
	p := metadata.Pool{
		Name: or(o.Name, "veneer"), State: metadata.Creating, Backing: or(o.Backing, metadata.BackingLoop),
		Data: o.Data, Metadata: o.Metadata, VolumeGroup: o.VolumeGroup, ExistingPool: o.ExistingPool,
		BlockSize: or(o.BlockSize, DefaultBlockSize), ErrorWhenFull: !o.QueueWhenFull, ExposeDeletedData: o.ExposeDeletedData,
		Filesystem: or(o.Filesystem, filesystem.Default), MkfsOptions: o.MkfsOptions, BaseSize: or(o.BaseSize, DefaultBaseSize),
		Created: time.Now().UTC(),
	}
	kind, err := filesystem.ByName(p.Filesystem)
	if err != nil {
		return p, err
	}
	blockSize, err := devmapper.SectorsFromBytes(p.BlockSize)
	if err == nil {
		err = thinpool.ValidateBlockSize(blockSize)
	}
	if err != nil {
		return p, class.Wrap(err, ErrInvalid)
	}
	for _, size := range []struct {
		what            string
		is, least, most uint64
	}{
		{"metadata", o.MetadataSize, thinpool.MinMetadata, thinpool.MaxMetadata},
		{"data", o.DataSize, MinDataSize, math.MaxInt64},
		{"base snapshot", p.BaseSize, kind.LeastSize(), math.MaxInt64},
	} {
		if size.is != 0 && (size.is < size.least || size.is > size.most) {
			return p, fmt.Errorf("%w: a %s size of %d bytes; from %d to %d are possible", ErrInvalid, size.what, size.is, size.least, size.most)
		}
	}
	if _, err := devmapper.NewName(p.Name); err != nil {
		return p, class.Wrap(err, ErrInvalid)
	}
	switch p.Backing {
	case metadata.BackingLoop:
		p.Data = or(p.Data, filepath.Join(root, "pool", p.Name+".data"))
		p.Metadata = or(p.Metadata, filepath.Join(root, "pool", p.Name+".metadata"))
	case metadata.BackingDevices:
		if p.Data == "" || p.Metadata == "" {
			return p, fmt.Errorf("%w: a pool on devices needs a data and a metadata device", ErrInvalid)
		}
	case metadata.BackingLVM:
		if (p.VolumeGroup == "") == (p.ExistingPool == "") {
			return p, fmt.Errorf("%w: a pool on LVM needs either a volume group or an existing thin pool", ErrInvalid)
		}
	default:
		return p, fmt.Errorf("%w: backing %q; loop, devices and lvm are possible", ErrInvalid, p.Backing)
	}
	return p, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// CreatePool makes a store: its folder, its catalog, its pool and the filesystem
// that base snapshots are taken from. It gives the open store. What a killed
// CreatePool left is taken away first; after an error nothing is left. A store that
// has a pool is ErrExists; disks that hold anything are thinpool.ErrForeign.
func CreatePool(ctx context.Context, c Config, o PoolOptions) (*Driver, error) {
	record, err := o.record(c.Root)
	if err != nil {
		return nil, err
	}
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	if err := d.requireTarget(); err != nil {
		return nil, errors.Join(err, d.release())
	}
	undo, err := makeFolder(c.Root)
	if err != nil {
		return nil, errors.Join(err, d.release())
	}
	_, missing := os.Lstat(c.catalogPath())
	if d.catalog, err = c.openCatalog(c.catalogPath(), metadata.Options{}); err != nil {
		err = errors.Join(class.Ensure(err), d.release())
		undo()
		return nil, err
	}
	if err := d.createPool(ctx, record, o); err != nil {
		if _, left := d.catalog.Pool(); missing != nil && errors.Is(left, metadata.ErrNotFound) {
			// It goes while it is locked, so that nobody else has it open.
			err = errors.Join(err, os.Remove(c.catalogPath()))
		}
		err = errors.Join(class.Ensure(err), d.release())
		undo()
		return nil, err
	}
	return d, nil
}

// makeFolder makes a folder with those above it, and says how to take away again
// what it made, as far as nothing is in it.
func makeFolder(path string) (undo func(), err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var made []string
	for dir := path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil {
			break
		}
		made = append(made, dir)
	}
	undo = func() {
		for _, dir := range made {
			_ = os.Remove(dir) // it stays if somebody put something there
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

func (d *Driver) createPool(ctx context.Context, record metadata.Pool, o PoolOptions) error {
	have, err := d.catalog.Pool()
	switch {
	case err == nil && have.State == metadata.Ready:
		return fmt.Errorf("%w: %s has the pool %q", ErrExists, d.config.Root, have.Name)
	case err == nil:
		d.log.WithField("pool", have.Name).Warn("a pool that was never finished is taken away")
		if err := d.dismantle(ctx, have); err != nil {
			return err
		}
	case !errors.Is(err, metadata.ErrNotFound):
		return err
	}
	if d.disks == nil || d.config.Disks == nil {
		d.disks = disk.ForBacking(record.Backing)
	}
	if err := d.refuseTakenName(record.Name); err != nil {
		return err
	}
	dataSize := or(o.DataSize, DefaultDataSize)
	blockSize := devmapper.Sectors(record.BlockSize / devmapper.SectorSize)
	metaSize := or(o.MetadataSize, roundUp(thinpool.MetadataSize(dataSize, blockSize, defaultThins), 1<<20))
	if err := d.refuseTakenDisks(ctx, record); err != nil {
		return err
	}
	// From here on a crash is cleaned up by the next CreatePool.
	if err := d.catalog.SetPool(record); err != nil {
		return err
	}
	d.record = record
	err = d.disks.Create(ctx, record, roundUp(dataSize, record.BlockSize), metaSize)
	if err == nil {
		err = d.formatPool(ctx)
	}
	if err == nil {
		err = d.start(ctx)
	}
	if err == nil {
		d.record.State = metadata.Ready
		if err = d.catalog.SetPool(d.record); err == nil {
			return nil
		}
	}
	d.halt()
	if undo := d.dismantle(context.WithoutCancel(ctx), record); undo != nil {
		err = fmt.Errorf("%w; and taking it away again: %w", err, undo)
	}
	return err
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

// refuseTakenName looks before anything is made: a pool of that name may be
// somebody else's.
func (d *Driver) refuseTakenName(name string) error {
	n, err := devmapper.NewName(name)
	if err != nil {
		return err
	}
	info, err := d.dm.Info(devmapper.ByName(n))
	if errors.Is(err, devmapper.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return &thinpool.ForeignError{
		Path: "the device-mapper name " + name, Holds: fmt.Sprintf("a device (%s) of another owner", info.Dev),
		Cure: "choose another name for the pool, or remove that device if nobody needs it",
	}
}

// refuseTakenDisks looks before anything is recorded: from then on what is where
// the disks were to be counts as ours, and is destroyed when the pool is given up.
func (d *Driver) refuseTakenDisks(ctx context.Context, p metadata.Pool) error {
	if err := d.disks.Vacant(ctx, p); err != nil || p.ExistingPool == "" {
		return err
	}
	data, meta, err := disk.ExistingPool(ctx, p.ExistingPool)
	if err == nil {
		_, err = d.vacantPool(p, data, meta.Path)
	}
	return err
}

func (d *Driver) formatPool(ctx context.Context) error {
	spec, err := d.attach(ctx)
	if err != nil {
		return err
	}
	d.record.LowWater = lowWater(spec, d.record.BlockSize)
	spec.LowWater = dmthin.DataBlocks(d.record.LowWater)
	if d.record.ExistingPool != "" {
		d.pool, err = d.claim(spec)
	} else {
		d.pool, err = thinpool.Create(ctx, d.dm, spec)
	}
	if err != nil {
		return err
	}
	_, err = d.template(ctx)
	return err
}

// lowWater is when a pool should be told of: a hundredth of the data, at most 10 GiB,
// in data blocks.
func lowWater(spec thinpool.Spec, blockSize uint64) uint64 {
	return min(uint64(spec.Data.Size/spec.BlockSize)/100, (10<<30)/blockSize)
}

// attach makes the pool's disks usable and describes the pool on them.
func (d *Driver) attach(ctx context.Context) (thinpool.Spec, error) {
	data, meta, err := d.disks.Attach(ctx, d.record)
	if err != nil {
		return thinpool.Spec{}, fmt.Errorf("the disks of pool %q: %w", d.record.Name, err)
	}
	return thinpool.Spec{
		Name: d.record.Name, Metadata: meta, Data: data,
		BlockSize: devmapper.Sectors(d.record.BlockSize / devmapper.SectorSize), LowWater: dmthin.DataBlocks(d.record.LowWater),
		ErrorWhenFull: d.record.ErrorWhenFull, ExposeDeletedData: d.record.ExposeDeletedData,
	}, nil
}

func (d *Driver) openPool(ctx context.Context, spec thinpool.Spec) (p *thinpool.Pool, err error) {
	if d.record.ExistingPool != "" {
		p, err = thinpool.Adopt(d.dm, d.record.Name, spec.Data.Dev, spec.Metadata.Path)
	} else {
		p, err = thinpool.Open(ctx, d.dm, spec)
	}
	if err != nil {
		if missing := d.requireTarget(); missing != nil {
			// The disks were attached for nothing.
			return nil, errors.Join(missing, d.disks.Detach(context.Background(), d.record))
		}
	}
	return p, err
}

// requireTarget says that the kernel cannot have thin pools, if so.
func (d *Driver) requireTarget() error {
	_, err := d.dm.TargetVersion("thin-pool")
	if errors.Is(err, devmapper.ErrNotExist) {
		return fmt.Errorf("%w: this kernel has no thin-pool target; load it with \"modprobe dm_thin_pool\"", devmapper.ErrNotSupported)
	}
	return err
}

// dismantle takes away everything that CreatePool made: devices, pool, disks and
// the pool's record.
func (d *Driver) dismantle(ctx context.Context, p metadata.Pool) error {
	disks := d.disks
	if disks == nil {
		disks = disk.ForBacking(p.Backing)
	}
	devices := thinpool.DevicesOf(d.dm, p.Name)
	thins, err := devices.ActiveThins()
	if err != nil {
		return err
	}
	for _, id := range thins {
		if err := devices.DeactivateThin(id); err != nil {
			return err
		}
	}
	if err := d.dismantlePool(ctx, p); err != nil {
		return err
	}
	if err := disks.Detach(ctx, p); err != nil {
		return err
	}
	if err := disks.Delete(ctx, p); err != nil {
		return err
	}
	return d.catalog.Reset()
}

func (d *Driver) dismantlePool(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return d.unclaim(ctx, p)
	}
	return thinpool.DevicesOf(d.dm, p.Name).DeactivatePool(ctx)
}
