package backend

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/tool"
	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/snapshots"
)

// ZFS makes a container a clone of its layer's snapshot, one dataset each.
type ZFS struct{}

// About describes the backend.
func (ZFS) About() bench.About {
	return bench.About{Name: "zfs", Text: "clones of ZFS snapshots; a first write writes one record anew", Kind: bench.KindExtent, Filesystem: "zfs", Options: "compression=off, recordsize=128K"}
}

// Ready looks for the programs and the kernel's module.
func (ZFS) Ready() error {
	if err := errors.Join(tool.Zpool.Installed(), tool.ZFS.Installed()); err != nil {
		return fmt.Errorf("%w: zfs %w: install the package zfsutils-linux and its kernel module", bench.ErrNotReady, command.ErrNotInstalled)
	}
	if !known("zfs") {
		return lacks("zfs")
	}
	return nil
}

// Open makes a pool on the disk. Its datasets are mounted by us, not by the pool.
func (ZFS) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	device, err := d.Part(ctx, "data", 0)
	if err != nil {
		return nil, err
	}
	s := &zfsStore{pool: filepath.Base(filepath.Dir(filepath.Dir(dir))) + "-" + filepath.Base(dir), mounts: mounts{dir: dir}}
	_, err = tool.Zpool.Run(ctx, "create", "-f", "-o", "cachefile=none", "-O", "mountpoint=legacy", "-O", "compression=off", "-O", "atime=off", s.pool, device)
	return s, err
}

type zfsStore struct {
	pool   string
	mounts mounts
}

func (s *zfsStore) set(name string) string { return s.pool + "/" + name }

func (s *zfsStore) Commit(ctx context.Context, layer, parent string, fill func(dir string) error) error {
	var err error
	if parent == "" {
		_, err = tool.ZFS.Run(ctx, "create", s.set(layer))
	} else {
		err = s.Create(ctx, layer, parent)
	}
	if err != nil {
		return err
	}
	dir, err := s.Mount(ctx, layer)
	if err == nil {
		err = errors.Join(fill(dir), s.Unmount(ctx, layer))
	}
	if err == nil {
		_, err = tool.ZFS.Run(ctx, "snapshot", s.set(layer)+"@layer")
	}
	return err
}

func (s *zfsStore) Drop(ctx context.Context, layer string) error {
	_, err := tool.ZFS.Run(ctx, "destroy", "-r", s.set(layer))
	return err
}

func (s *zfsStore) Create(ctx context.Context, container, layer string) error {
	_, err := tool.ZFS.Run(ctx, "clone", s.set(layer)+"@layer", s.set(container))
	return err
}

func (s *zfsStore) Mount(_ context.Context, container string) (string, error) {
	return s.mounts.at(container, snapshots.Mount{Type: "zfs", Source: s.set(container)})
}

func (s *zfsStore) Unmount(_ context.Context, container string) error {
	return s.mounts.unmount(container)
}

func (s *zfsStore) Remove(ctx context.Context, container string) error {
	_, err := tool.ZFS.Run(ctx, "destroy", s.set(container))
	return err
}

func (s *zfsStore) Settle(ctx context.Context) error {
	_, err := tool.Zpool.Run(ctx, "sync", s.pool)
	return err
}

func (s *zfsStore) Stored(ctx context.Context) (space bench.Space, err error) {
	out, err := tool.Zpool.Run(ctx, "get", "-H", "-p", "-o", "value", "allocated,size", s.pool)
	if err != nil {
		return space, err
	}
	if _, err := fmt.Sscan(out, &space.Used, &space.Size); err != nil {
		return space, fmt.Errorf("zpool says %q of its space: %w", out, err)
	}
	return space, nil
}

func (s *zfsStore) Close(ctx context.Context) error {
	err := s.mounts.close()
	_, destroying := tool.Zpool.Run(ctx, "destroy", "-f", s.pool)
	return errors.Join(err, destroying)
}
