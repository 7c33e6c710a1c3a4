package service

import (
	"context"
	"io"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
)

// Driver is what the service has of a store. *snapshots.Driver is one. It is safe for
// concurrent use.
type Driver interface {
	Root() string
	Stat(ctx context.Context, key string) (snapshots.Info, error)
	Walk(ctx context.Context, f func(context.Context, snapshots.Info) error) error
	Children(ctx context.Context, key string) ([]string, error)
	Prepare(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error)
	View(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error)
	Clone(ctx context.Context, key, original string, opts ...snapshots.Option) (snapshots.Mount, error)
	Rollback(ctx context.Context, key, to string) (snapshots.Mount, error)
	Mounts(ctx context.Context, key string) (snapshots.Mount, error)
	Commit(ctx context.Context, name, key string, opts ...snapshots.Option) error
	Remove(ctx context.Context, key string) error
	Resize(ctx context.Context, key string, bytes uint64) error
	SetLabels(ctx context.Context, key string, change func(map[string]string) (map[string]string, error)) (snapshots.Info, error)
	Usage(ctx context.Context, key string) (snapshots.Usage, error)
	Freed(ctx context.Context, keys ...string) (uint64, error)
	Holders(ctx context.Context, key string) (int, error)

	Pool(ctx context.Context) (snapshots.PoolInfo, error)
	GrowPool(ctx context.Context, data, meta uint64) error
	Check(ctx context.Context) (dmthin.Superblock, error)
	Drain(ctx context.Context) error

	PutRecord(r snapshots.Record) error
	Record(name string) (snapshots.Record, error)
	Records() ([]snapshots.Record, error)
	DeleteRecord(name string) error
}

var _ Driver = (*snapshots.Driver)(nil)

// backuper is a driver that can write a copy of its catalog while it works.
type backuper interface {
	Backup(ctx context.Context, w io.Writer) error
}
