package snapshots

import (
	"context"

	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// Mount is how to mount a snapshot.
type Mount = filesystem.Mount

// Disks makes and finds the disks that a pool stands on.
type Disks = disk.Disks

// Host is what the driver does to block devices and the filesystems on them. Package
// filesystem has all of it but Discard for the machine that a program runs on.
type Host interface {
	// Format makes an empty filesystem.
	Format(ctx context.Context, f filesystem.Format) error
	// Grow makes the filesystem as large as its device, mounted or not. A device that
	// holds none, type "", stays as it is.
	Grow(ctx context.Context, m Mount) error
	// Settle flushes the device's cache, and then says what the disk has: which
	// filesystem, and whether its log is to be replayed. A device that is not there is
	// fs.ErrNotExist.
	Settle(ctx context.Context, device string) (filesystem.State, error)
	// Replay mounts the filesystem writable and unmounts it, which replays its log.
	Replay(ctx context.Context, m Mount) error
	// Discard gives all of the device's blocks back to the pool. It is done in parts, and
	// ends between them with ctx.
	Discard(ctx context.Context, device string) error
	// Identify reads the superblock of the filesystem on a device; one of kind "" says that
	// none is known.
	Identify(device string) (filesystem.Superblock, error)
}
