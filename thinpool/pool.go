package thinpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Pool is an active pool. It is safe for concurrent use, but for two operations on
// the same thin device.
type Pool struct {
	Devices
	self     devmapper.Ref // the pool's own device
	dev      devmapper.DevNo
	block    devmapper.Sectors
	metadata string // path of the metadata device
	adopted  bool   // the device is another's, such as LVM's, and stays

	// snapshot has one element while a caller takes or has the pool's one metadata snapshot; unreleased, which it guards, says that there may be one that
	// could not be given back.
	snapshot   chan struct{}
	unreleased bool
	// tables keeps tables of thin devices from being loaded while Grow has the pool
	// suspended for a moment: EINVAL (thin_ctr in drivers/md/dm-thin.c).
	tables sync.RWMutex
	last   atomic.Pointer[Working]
}

// Create formats a pool on blank disks and activates it. A disk that holds
// anything is refused with a *ForeignError before anything is written. The context's
// end is noticed until the pool's device is made. After an error no device is left.
func Create(ctx context.Context, dm *devmapper.Client, s Spec) (*Pool, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	for _, disk := range []Disk{s.Metadata, s.Data} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := Vacant(disk); err != nil {
			return nil, err
		}
	}
	return activate(ctx, dm, s, nil)
}

// Open activates the pool that is on the disks, or takes over the live one if it
// is the same. A metadata disk that holds no pool is ErrForeign. Before a pool is
// activated every block of its metadata is verified: ErrDamaged. The context's end
// is noticed until the pool's device is made. After an error the pool is active only if
// it was before.
func Open(ctx context.Context, dm *devmapper.Client, s Spec) (*Pool, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	kind, err := identify(s.Metadata)
	if err != nil {
		return nil, err
	}
	switch kind {
	case pooled:
	case blank:
		return nil, fmt.Errorf("%w: %s, where the metadata of pool %q should be, is empty", ErrForeign, s.Metadata.Path, s.Name)
	default:
		return nil, &ForeignError{Path: s.Metadata.Path, Holds: kind}
	}
	// The kernel reads a block when it needs it, and by then has written others.
	return activate(ctx, dm, s, func() error { return Verify(ctx, s.Metadata.Path) })
}

func activate(ctx context.Context, dm *devmapper.Client, s Spec, verify func() error) (*Pool, error) {
	name, uuid, err := identity(s.Name, poolUUID(s.Name))
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := &activation{dm: dm, name: name, uuid: uuid, table: s.table(), mode: devmapper.ReadWrite, verify: verify}
	a.finish = func(info devmapper.Info) (devmapper.Info, error) { return takeOver(a, info) }
	info, err := a.run()
	if err != nil {
		return nil, fmt.Errorf("activate pool %q: %w", s.Name, err)
	}
	p := newPool(dm, s.Name, devmapper.ByUUID(uuid), info.Dev)
	p.block, p.metadata = s.BlockSize, s.Metadata.Path
	if err := p.releaseLeftOver(); err != nil {
		if a.loaded {
			err = errors.Join(err, p.Deactivate(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	return p, nil
}

// releaseLeftOver releases the metadata snapshot of a process that died while it read the
// metadata. It is an error when the pool does not work.
func (p *Pool) releaseLeftOver() error {
	w, err := p.Working()
	if err != nil || w.HeldRoot == 0 || w.Writable() != nil {
		return err
	}
	return p.message("release_metadata_snap")
}

func newPool(dm *devmapper.Client, name string, self devmapper.Ref, dev devmapper.DevNo) *Pool {
	return &Pool{Devices: DevicesOf(dm, name), self: self, dev: dev, snapshot: make(chan struct{}, 1)}
}

// takeOver checks that an active device of ours is the pool that is wanted, and resumes
// it if a process died while it was suspended.
func takeOver(a *activation, info devmapper.Info) (devmapper.Info, error) {
	want := a.table[0].Target.(devmapper.ThinPool)
	table, err := a.dm.Table(a.ref())
	if err != nil {
		return info, err
	}
	have, ok := devmapper.ThinPool{}, false
	if len(table) == 1 {
		have, ok = table[0].Target.(devmapper.ThinPool)
	}
	if !ok || have.Metadata != want.Metadata || have.Data != want.Data || have.BlockSize != want.BlockSize {
		return info, &ForeignError{Path: "the device-mapper name " + a.name.String(), Holds: "a pool on other devices: " + table.String(), Cure: otherName}
	}
	if info.Suspended {
		err = resumeTwice(a.dm, a.ref())
	}
	return info, err
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
	p := newPool(dm, name, devmapper.ByDev(dev), dev)
	p.block, p.metadata, p.adopted = t.BlockSize, metadataPath, true
	if _, err := p.Working(); err != nil {
		return nil, err
	}
	return p, nil
}

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

// Deactivate takes the pool's device away, as DeactivatePool does. An adopted pool is left
// as it is.
func (p *Pool) Deactivate(ctx context.Context) error {
	if p.adopted {
		return nil
	}
	return p.DeactivatePool(ctx)
}
