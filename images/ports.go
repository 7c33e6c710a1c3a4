package images

import (
	"context"

	"github.com/veneerdm/veneer/snapshots"
)

// Snapshots is what images needs of the driver: snapshots, and a place for the records
// of images. Errors are classed as those of package snapshots. It is safe for concurrent
// use; *snapshots.Driver is.
type Snapshots interface {
	Stat(ctx context.Context, key string) (snapshots.Info, error)
	// Prepare makes a writable snapshot of a committed one, or an empty one for "".
	Prepare(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error)
	// View makes a read-only look at a committed snapshot.
	View(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error)
	// Clone makes a writable snapshot of another writable one as it is now, which
	// may be mounted and written to.
	Clone(ctx context.Context, key, source string, opts ...snapshots.Option) (snapshots.Mount, error)
	// Commit turns the writable snapshot key into the committed one called name.
	Commit(ctx context.Context, name, key string, opts ...snapshots.Option) error
	Remove(ctx context.Context, key string) error
	Usage(ctx context.Context, key string) (snapshots.Usage, error)
	Walk(ctx context.Context, fn func(context.Context, snapshots.Info) error) error
	// PutRecord keeps a record under its name, in place of what was there. Like every
	// change of records it is one transaction: what is acknowledged survives a crash.
	PutRecord(r snapshots.Record) error
	Record(name string) (snapshots.Record, error)
	// Records lists all records by name.
	Records() ([]snapshots.Record, error)
	DeleteRecord(name string) error
}

// Tree is a mounted snapshot.
type Tree interface {
	// FD is the descriptor of its top directory, for relative calls.
	FD() int
	// Path leads to the top directory from within this process.
	Path() string
	// Close unmounts it, which writes everything to the device.
	Close() error
}

// Mounter mounts a snapshot for this process alone.
type Mounter func(ctx context.Context, m snapshots.Mount) (Tree, error)

func openMount(_ context.Context, m snapshots.Mount) (Tree, error) { return m.Open() }
