package snapshots

import (
	"context"

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
	// Attach makes the disks usable, as after a reboot, and says where they are.
	Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error)
	// Grow makes the disks at least so large.
	Grow(ctx context.Context, p metadata.Pool, data, meta uint64) error
	// Detach is the opposite of Attach. Nothing is lost.
	Detach(ctx context.Context, p metadata.Pool) error
	// Delete destroys what Create made, and only that.
	Delete(ctx context.Context, p metadata.Pool) error
}

// Host is what the driver does to block devices and their filesystems.
type Host interface {
	// Format makes an empty filesystem without a lost+found on a device that reads
	// as zeros if zeroed is set.
	Format(ctx context.Context, f Format) error
	// Grow makes the filesystem as large as its device.
	Grow(ctx context.Context, m Mount) error
	// Settle flushes the device's cache and says whether the filesystem on it was
	// unmounted cleanly, as far as its kind lets one see.
	Settle(ctx context.Context, m Mount) (clean bool, err error)
	// Recover mounts the filesystem writable and unmounts it, which replays its log.
	Recover(ctx context.Context, m Mount) error
	// Discard gives all of the device's blocks back to the pool. It is done in parts, and
	// ends between them with ctx.
	Discard(ctx context.Context, device string) error
	// Identify tells the kind of the filesystem on a device and its size in bytes; "" is
	// none that is known.
	Identify(device string) (kind string, size uint64, err error)
}

// Format describes a filesystem to be made.
type Format struct {
	Filesystem string // "ext4" or "xfs"
	Device     string
	Zeroed     bool     // the device reads as zeros, so none need be written
	Options    []string // words for the mkfs command, before the device
}
