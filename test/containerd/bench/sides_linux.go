package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/devmapper"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
)

// The sides, in the table's order.
const (
	ours = iota
	devmapperSide
	overlaySide
	sideCount
)

var sideNames = [sideCount]string{"veneer", "devmapper", "overlayfs"}

// side is one snapshotter in this process.
type side struct {
	csnapshots.Snapshotter
	name    string
	target  string // where its snapshots are mounted
	destroy func() error
}

// baseKey is a committed snapshot with some files.
const baseKey = "base"

// openSide makes a snapshotter with everything below it.
func (b *bench) openSide(ctx context.Context, which int) (s *side, err error) {
	s = &side{name: sideNames[which], target: filepath.Join(b.dir, "mnt-"+sideNames[which])}
	if err := os.MkdirAll(s.target, 0o700); err != nil {
		return nil, err
	}
	switch which {
	case ours:
		err = s.openVeneer(ctx, filepath.Join(b.dir, "store"))
	case devmapperSide:
		err = s.openDevmapper(ctx, b)
	case overlaySide:
		root := filepath.Join(b.dir, "overlay")
		s.Snapshotter, err = overlay.NewSnapshotter(root)
		if err == nil {
			s.destroy = func() error { return errors.Join(s.Close(), os.RemoveAll(root)) }
		}
	}
	return s, err
}

func (s *side) openVeneer(ctx context.Context, root string) error {
	d, err := snapshots.CreatePool(ctx, snapshots.Config{Root: root, Admit: snapshots.DefaultAdmission},
		snapshots.PoolOptions{Name: "bench-veneer", DataSize: poolSize, MetadataSize: metadataSize, BaseSize: baseSize})
	if err != nil {
		return err
	}
	s.Snapshotter = proxy.New(d)
	s.destroy = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return errors.Join(d.Drain(ctx), d.DestroyPool(ctx), os.RemoveAll(root))
	}
	return nil
}

func (s *side) openDevmapper(ctx context.Context, b *bench) error {
	pool, err := b.newThinPool(ctx, "bench-devmapper")
	if err != nil {
		return err
	}
	d, err := devmapper.NewSnapshotter(ctx, &devmapper.Config{
		RootPath: filepath.Join(pool.dir, "root"), PoolName: pool.name, BaseImageSize: fmt.Sprint(baseSize),
	})
	if err != nil {
		return errors.Join(err, pool.destroy())
	}
	s.Snapshotter = d
	s.destroy = func() error { return errors.Join(d.Close(), pool.destroy()) }
	return nil
}

// openSides makes the base snapshot too.
func (b *bench) openSides(ctx context.Context, which ...int) (all []*side, closeAll func() error, err error) {
	closeAll = func() error {
		var errs []error
		for _, s := range all {
			errs = append(errs, s.destroy())
		}
		return errors.Join(errs...)
	}
	for _, w := range which {
		s, err := b.openSide(ctx, w)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", sideNames[w], err), closeAll())
		}
		all = append(all, s)
	}
	return all, closeAll, nil
}

// write mounts what a snapshotter gave, writes some files and unmounts.
func (s *side) write(mounts []mount.Mount, files int) (err error) {
	if err := mount.All(mounts, s.target); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mount.UnmountAll(s.target, 0)) }()
	for i := range files {
		if err := os.WriteFile(fmt.Sprintf("%s/file-%02d", s.target, i), make([]byte, 3000+500*i), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// commitFiles commits a snapshot of parent that some files were written into.
func (s *side) commitFiles(ctx context.Context, name, parent string, files int) error {
	mounts, err := s.Prepare(ctx, "making "+name, parent)
	if err == nil {
		err = s.write(mounts, files)
	}
	if err == nil {
		err = s.Commit(ctx, name, "making "+name)
	}
	return err
}

// settle waits for work that a snapshotter does in the background.
func (s *side) settle(ctx context.Context) error {
	if c, ok := s.Snapshotter.(csnapshots.Cleaner); ok {
		return c.Cleanup(ctx)
	}
	return nil
}
