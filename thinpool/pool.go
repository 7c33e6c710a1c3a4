package thinpool

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Pool is a live pool. It is safe for concurrent use, but for two operations on
// the same thin device.
type Pool struct {
	dm       *devmapper.Client
	name     string
	dev      devmapper.DevNo
	block    devmapper.Sectors
	metadata string // path of the metadata device
	borrowed bool   // the device is another's, such as LVM's, and stays

	snap sync.Mutex // one metadata snapshot at a time, as the kernel has it
	held bool       // there is one, perhaps
	// tables keeps tables of thin devices from being loaded while Grow has the pool
	// suspended for a moment: EINVAL (thin_ctr in drivers/md/dm-thin.c).
	tables sync.RWMutex
	last   atomic.Pointer[Working]
}

// Create formats a pool on blank disks and activates it. A disk that holds
// anything is refused with a *ForeignError before anything is written.
func Create(dm *devmapper.Client, s Spec) (*Pool, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if err := Vacant(s.Metadata); err != nil {
		return nil, err
	}
	if err := Vacant(s.Data); err != nil {
		return nil, err
	}
	return activate(dm, s)
}

// Open activates the pool that is on the disks, or takes over the live one if it
// is the same. A metadata disk that holds no pool is ErrForeign. Before a pool is
// activated every block of its metadata is verified: ErrDamaged.
func Open(dm *devmapper.Client, s Spec) (*Pool, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	kind, err := identify(s.Metadata)
	if err != nil {
		return nil, err
	}
	switch kind {
	case pooled:
		if err := verify(dm, s); err != nil {
			return nil, err
		}
	case blank:
		return nil, fmt.Errorf("%w: %s, where the metadata of pool %q should be, is empty", ErrForeign, s.Metadata.Path, s.Name)
	default:
		return nil, &ForeignError{Path: s.Metadata.Path, Holds: kind}
	}
	return activate(dm, s)
}

func activate(dm *devmapper.Client, s Spec) (*Pool, error) {
	name, err := devmapper.NewName(s.Name)
	if err != nil {
		return nil, err
	}
	uuid, err := devmapper.NewUUID(poolUUID(s.Name))
	if err != nil {
		return nil, err
	}
	p := &Pool{dm: dm, name: s.Name, block: s.BlockSize, metadata: s.Metadata.Path}
	info, err := dm.Activate(name, uuid, s.table(), devmapper.ReadWrite)
	if errors.Is(err, devmapper.ErrExist) {
		info, err = takeOver(dm, name, uuid, s)
	}
	if err != nil {
		return nil, fmt.Errorf("activate pool %q: %w", s.Name, err)
	}
	p.dev = info.Dev
	w, err := p.Working()
	if err != nil {
		return nil, err
	}
	if w.HeldRoot != 0 && w.Writable() == nil {
		// A process that died while it read the metadata left its snapshot behind.
		if err := p.message("release_metadata_snap"); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// takeOver checks that a live device is this pool and finishes what a process that
// died in the middle left undone.
func takeOver(dm *devmapper.Client, name devmapper.Name, uuid devmapper.UUID, s Spec) (devmapper.Info, error) {
	ref := devmapper.ByName(name)
	info, err := dm.Info(ref)
	if err != nil {
		return info, err
	}
	if info.UUID != uuid {
		return info, &ForeignError{Path: "the device-mapper name " + s.Name, Holds: fmt.Sprintf("a device of another owner (UUID %q)", info.UUID), Cure: otherName}
	}
	want := s.table()[0].Target.(devmapper.ThinPool)
	if !info.Active {
		if err := dm.Load(ref, s.table(), devmapper.ReadWrite); err != nil {
			return info, err
		}
		return info, dm.Resume(ref)
	}
	table, err := dm.Table(ref)
	if err != nil {
		return info, err
	}
	have, ok := devmapper.ThinPool{}, false
	if len(table) == 1 {
		have, ok = table[0].Target.(devmapper.ThinPool)
	}
	if !ok || have.Metadata != want.Metadata || have.Data != want.Data || have.BlockSize != want.BlockSize {
		return info, &ForeignError{Path: "the device-mapper name " + s.Name, Holds: "a pool on other devices: " + table.String(), Cure: otherName}
	}
	if info.Suspended {
		return info, dm.Resume(ref)
	}
	return info, nil
}

// Adopt takes a live pool device that somebody else activated, such as LVM. The
// pool's device stays when the Pool is deactivated.
func Adopt(dm *devmapper.Client, name string, dev devmapper.DevNo, metadataPath string) (*Pool, error) {
	table, err := dm.Table(devmapper.ByDev(dev))
	if err != nil {
		return nil, err
	}
	if len(table) != 1 {
		return nil, &ForeignError{Path: dev.String(), Holds: "no thin pool"}
	}
	t, ok := table[0].Target.(devmapper.ThinPool)
	if !ok {
		return nil, &ForeignError{Path: dev.String(), Holds: "a device of type " + table[0].Target.Type() + ", not a thin pool"}
	}
	p := &Pool{dm: dm, name: name, dev: dev, block: t.BlockSize, metadata: metadataPath, borrowed: true}
	if _, err := p.Working(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pool) ref() devmapper.Ref { return devmapper.ByDev(p.dev) }

// Name is the pool's name, which begins the names of its thin devices.
func (p *Pool) Name() string { return p.name }

// Dev is the number of the pool's device.
func (p *Pool) Dev() devmapper.DevNo { return p.dev }

// BlockSize is the size of a data block.
func (p *Pool) BlockSize() devmapper.Sectors { return p.block }

// BlocksToBytes is the size of n data blocks in bytes.
func (p *Pool) BlocksToBytes(n dmthin.DataBlocks) uint64 { return uint64(n) * p.block.Bytes() }

// RoundUp is the size in bytes, rounded up to whole data blocks.
func (p *Pool) RoundUp(bytes uint64) uint64 {
	b := p.block.Bytes()
	return (bytes + b - 1) / b * b
}

// Deactivate takes the pool's device away; what it keeps stays on its disks. A
// borrowed pool is left as it is. ErrBusy says that thin devices are active.
func (p *Pool) Deactivate() error {
	if p.borrowed {
		return nil
	}
	name, err := devmapper.NewName(p.name)
	if err != nil {
		return err
	}
	if err := p.dm.Remove(devmapper.ByName(name)); err != nil && !errors.Is(err, devmapper.ErrNotExist) {
		return fmt.Errorf("deactivate pool %q: %w", p.name, err)
	}
	return nil
}
