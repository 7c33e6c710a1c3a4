package disk

import (
	"context"
	"errors"
	"slices"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/thinpool"
)

// Disks makes and finds the disks that a pool stands on: files, devices or logical
// volumes. It is safe to repeat each method after a crash.
type Disks interface {
	// Vacant says what stands where the disks are to be, if anything: a file or
	// volume that exists, a device that holds something. It changes nothing. What it
	// lets pass may be destroyed by Delete.
	Vacant(ctx context.Context, p metadata.Pool) error
	// Create makes disks of those sizes in bytes. It refuses what exists already.
	Create(ctx context.Context, p metadata.Pool, data, meta uint64) error
	// Attach makes the disks usable, as after a reboot, and says where they are. After
	// an error what it attached is detached again; what was attached before stays.
	Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error)
	// Grow makes the disks at least so large.
	Grow(ctx context.Context, p metadata.Pool, data, meta uint64) error
	// Detach is the opposite of Attach. Nothing is lost.
	Detach(ctx context.Context, p metadata.Pool) error
	// Delete destroys what Create made, and only that.
	Delete(ctx context.Context, p metadata.Pool) error
}

// ForBacking gives the disks of this machine for a kind of backing.
func ForBacking(b metadata.Backing) Disks {
	switch b {
	case metadata.BackingDevices:
		return devices{}
	case metadata.BackingLVM:
		return volumes{}
	default:
		return loopFiles{}
	}
}

// undo is what an operation has done and takes back if it fails, the last first.
type undo []func() error

func (u *undo) add(step func() error) { *u = append(*u, step) }

// after takes everything back if there is an error, and joins what goes wrong then.
func (u undo) after(err error) error {
	if err == nil {
		return nil
	}
	for _, takeBack := range slices.Backward(u) {
		err = errors.Join(err, takeBack())
	}
	return err
}
