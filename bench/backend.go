package bench

import "context"

// A Backend is one way to give containers writable copies of an image.
type Backend interface {
	// About describes the backend. It costs nothing and never changes.
	About() About
	// Ready says in one sentence what this machine lacks to run the backend; nil when
	// nothing is. It changes nothing.
	Ready() error
	// Open makes a fresh, empty store on a disk. dir is an empty folder for mounts,
	// which the store may use and leaves empty when it is closed.
	Open(ctx context.Context, d Disk, dir string) (Store, error)
}

// About is what a reader wants to know of a backend.
type About struct {
	Name       string `json:"name"`       // as in --backends
	Text       string `json:"text"`       // one line: how it copies
	Kind       string `json:"kind"`       // KindBlock, KindFile, KindExtent or KindCopy
	Filesystem string `json:"filesystem"` // that containers see or that lies below
	Options    string `json:"options"`    // mount or pool options that set it apart
}

// What a backend copies at the first write.
const (
	KindBlock  = "block"  // one block of a device
	KindFile   = "file"   // the whole file, into an upper directory
	KindExtent = "extent" // the extent, inside one filesystem
	KindCopy   = "copy"   // nothing: the whole image was copied before
)

// A Store holds layers, which never change, and containers on top of them. It is
// used by one goroutine at a time, except that Create, Mount, Unmount and Remove of
// different containers may run at once. Names are letters, digits and dashes.
type Store interface {
	// Commit adds a layer on top of parent, "" for none, that holds what fill writes
	// into the folder it is given: all of parent is seen there.
	Commit(ctx context.Context, layer, parent string, fill func(dir string) error) error
	// Drop destroys a layer that nothing lies on.
	Drop(ctx context.Context, layer string) error
	// Create makes a container of a layer.
	Create(ctx context.Context, container, layer string) error
	// Mount starts a container: its files are in the folder until Unmount.
	Mount(ctx context.Context, container string) (dir string, err error)
	// Unmount stops a container. Its files are kept.
	Unmount(ctx context.Context, container string) error
	// Remove destroys a stopped container.
	Remove(ctx context.Context, container string) error
	// Settle returns when all that was written is on the disk and all that was
	// removed is given back.
	Settle(ctx context.Context) error
	// Stored is how much of the store's space is allocated, as of the last Settle.
	Stored(ctx context.Context) (Space, error)
	// Close destroys the store, whatever is mounted, and leaves the disk unused. It
	// does what it can after errors, and may be called again.
	Close(ctx context.Context) error
}

// A Disk is what one store stands on: a block device's worth of space, given out in
// parts, and the block layer's count of what went through them.
type Disk interface {
	// Size is in bytes. It is what all stores of a scenario get.
	Size() uint64
	// Part gives the path of a blank block device of that many bytes; 0 takes all
	// that is left.
	Part(ctx context.Context, name string, size uint64) (string, error)
	// Count is what the parts have read and written since they were made.
	Count() (IO, error)
	// Close takes the parts away and destroys what they held.
	Close(ctx context.Context) error
}

// Space is in bytes. By its own count a store may be full before Used reaches Size.
type Space struct{ Used, Size uint64 }

// IO is what the block layer counted, as the kernel's
// Documentation/block/stat.rst has it.
type IO struct {
	ReadBytes, WrittenBytes uint64
	Reads, Writes, Flushes  uint64
}

// Since is what came after an earlier count.
func (c IO) Since(before IO) IO {
	return IO{
		ReadBytes: c.ReadBytes - before.ReadBytes, WrittenBytes: c.WrittenBytes - before.WrittenBytes,
		Reads: c.Reads - before.Reads, Writes: c.Writes - before.Writes, Flushes: c.Flushes - before.Flushes,
	}
}
