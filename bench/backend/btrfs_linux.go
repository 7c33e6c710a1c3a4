package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/tool"
)

// Btrfs makes a container a snapshot of its layer's subvolume, as Docker's and
// containerd's drivers of that name do.
type Btrfs struct{}

// About describes the backend.
func (Btrfs) About() bench.About {
	return bench.About{Name: "btrfs", Text: "btrfs snapshots; a first write writes the extent's pages anew", Kind: bench.KindExtent, Filesystem: "btrfs"}
}

// Ready looks for mkfs.btrfs and the kernel's btrfs.
func (Btrfs) Ready() error {
	if err := tool.MkfsBtrfs.Installed(); err != nil {
		return fmt.Errorf("%w: %w", bench.ErrNotReady, err)
	}
	if !known("btrfs") {
		return lacks("btrfs")
	}
	return nil
}

// Open formats the disk.
func (Btrfs) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	b, err := newBase(ctx, d, dir, "btrfs")
	return &subvolumes{base: b}, err
}

// subvolumes is a store in which layers and containers are subvolumes.
type subvolumes struct{ *base }

// Requests and keys of include/uapi/linux/btrfs.h and btrfs_tree.h.
const (
	snapCreate    = 0x50009401 // BTRFS_IOC_SNAP_CREATE
	btrfsSync     = 0x9408     // BTRFS_IOC_SYNC
	subvolCreate  = 0x5000940e // BTRFS_IOC_SUBVOL_CREATE
	snapDestroy   = 0x5000940f // BTRFS_IOC_SNAP_DESTROY
	treeSearch    = 0xd0009411 // BTRFS_IOC_TREE_SEARCH
	argumentSize  = 4096       // of all but the sync
	rootTree      = 1          // BTRFS_ROOT_TREE_OBJECTID
	orphans       = ^uint64(4) // BTRFS_ORPHAN_OBJECTID, which is -5
	orphanItem    = 48         // BTRFS_ORPHAN_ITEM_KEY
	itemsAt       = 64         // offset of nr_items in btrfs_ioctl_search_key
	cleanInterval = 5 * time.Millisecond
)

// named does a request on the store's folder about a name in it; source is the
// subvolume to snapshot.
func (s *subvolumes) named(number uintptr, source int, name string) error {
	arg := make([]byte, argumentSize) // struct btrfs_ioctl_vol_args
	binary.NativeEndian.PutUint64(arg, uint64(source))
	copy(arg[8:len(arg)-1], name)
	return request(s.dir, number, arg)
}

func (s *subvolumes) snapshot(of, name string) error {
	source, err := unix.Open(filepath.Join(s.dir, of), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(s.named(snapCreate, source, name), unix.Close(source)); err != nil {
		return fmt.Errorf("snapshot %s as %s: %w", of, name, err)
	}
	return nil
}

func (s *subvolumes) destroy(name string) error {
	s.removed.Store(true)
	if err := s.named(snapDestroy, 0, name); err != nil {
		return fmt.Errorf("destroy the subvolume %s: %w", name, err)
	}
	return nil
}

func (s *subvolumes) Commit(_ context.Context, layer, parent string, fill func(dir string) error) error {
	name := "layer-" + layer
	var err error
	if parent == "" {
		err = s.named(subvolCreate, 0, name)
	} else {
		err = s.snapshot("layer-"+parent, name)
	}
	if err != nil {
		return err
	}
	if err := fill(filepath.Join(s.dir, name)); err != nil {
		return errors.Join(err, s.destroy(name))
	}
	return nil
}

func (s *subvolumes) Drop(_ context.Context, layer string) error { return s.destroy("layer-" + layer) }

func (s *subvolumes) Create(_ context.Context, container, layer string) error {
	return s.snapshot("layer-"+layer, "container-"+container)
}

func (s *subvolumes) Mount(_ context.Context, container string) (string, error) {
	return filepath.Join(s.dir, "container-"+container), nil
}

func (s *subvolumes) Unmount(context.Context, string) error { return nil }

func (s *subvolumes) Remove(_ context.Context, container string) error {
	return s.destroy("container-" + container)
}

// Settle waits for the cleaner too, which gives back what destroyed subvolumes had.
func (s *subvolumes) Settle(ctx context.Context) error {
	if !s.removed.Swap(false) {
		return s.base.Settle(ctx)
	}
	again := time.NewTicker(cleanInterval)
	defer again.Stop()
	for {
		if err := request(s.dir, btrfsSync, nil); err != nil { // wakes the cleaner
			return fmt.Errorf("sync btrfs: %w", err)
		}
		waiting, err := s.waiting()
		if err != nil || !waiting {
			return errors.Join(err, s.base.Settle(ctx))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// waiting tells whether subvolumes wait for the cleaner: the root tree has an orphan
// item for each.
func (s *subvolumes) waiting() (bool, error) {
	arg := make([]byte, argumentSize) // struct btrfs_ioctl_search_args
	for i, v := range []uint64{rootTree, orphans, orphans, 0, ^uint64(0), 0, ^uint64(0)} {
		binary.NativeEndian.PutUint64(arg[8*i:], v)
	}
	for i, v := range []uint32{orphanItem, orphanItem, 1} {
		binary.NativeEndian.PutUint32(arg[56+4*i:], v)
	}
	if err := request(s.dir, treeSearch, arg); err != nil {
		return false, fmt.Errorf("ask btrfs what it has still to clean: %w", err)
	}
	return binary.NativeEndian.Uint32(arg[itemsAt:]) > 0, nil
}

func (s *subvolumes) Close(context.Context) error {
	if s.base == nil {
		return nil
	}
	err := s.close()
	_ = os.Remove(s.dir)
	return err
}
