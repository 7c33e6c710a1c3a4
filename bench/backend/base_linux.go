package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/tool"
	"github.com/veneerdm/veneer/internal/ioctl"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// base is a fresh filesystem that a store keeps its folders in.
type base struct {
	dir     string // where it is mounted
	kind    string
	mounted bool
	removed atomic.Bool // something was, since the last Settle
}

// newBase formats all of a disk and mounts it in dir/base. ext4 and xfs are made as
// Veneer makes them inside its thin devices.
func newBase(ctx context.Context, d bench.Disk, dir, kind string) (*base, error) {
	device, err := d.Part(ctx, "data", 0)
	if err != nil {
		return nil, err
	}
	if kind == "btrfs" {
		_, err = tool.MkfsBtrfs.Run(ctx, "-q", "-f", "-K", device)
	} else {
		err = filesystem.Make(ctx, filesystem.Format{Filesystem: kind, Device: device, Zeroed: true})
	}
	if err != nil {
		return nil, fmt.Errorf("make the %s filesystem below the store: %w", kind, err)
	}
	b := &base{dir: filepath.Join(dir, "base")}
	return b, b.mount(kind, device)
}

func (b *base) mount(kind, device string) error {
	b.kind = kind
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	err := snapshots.Mount{Type: kind, Source: device}.At(b.dir)
	b.mounted = err == nil
	return err
}

// sub is a folder inside, made when it is not there.
func (b *base) sub(words ...string) (string, error) {
	path := filepath.Join(append([]string{b.dir}, words...)...)
	return path, os.MkdirAll(path, 0o755)
}

// freeBlocks is XFS_IOC_FREE_EOFBLOCKS of fs/xfs/libxfs/xfs_fs.h.
const freeBlocks = 0x8080583a

// Settle is for stores that are one filesystem. xfs frees what was removed in the
// background (since Linux 5.14), and this ioctl waits for it.
func (b *base) Settle(context.Context) error {
	if b.removed.Swap(false) && b.kind == "xfs" {
		arg := make([]byte, 128) // struct xfs_fs_eofblocks
		binary.NativeEndian.PutUint32(arg, 1)
		if err := request(b.dir, freeBlocks, arg); err != nil {
			return fmt.Errorf("wait for xfs to free what was removed: %w", err)
		}
	}
	if err := syncFS(b.dir); err != nil {
		return fmt.Errorf("bring everything onto the disk: %w", err)
	}
	return nil
}

// Stored is for stores that are one filesystem.
func (b *base) Stored(context.Context) (bench.Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(b.dir, &st); err != nil {
		return bench.Space{}, fmt.Errorf("look at the space of %s: %w", b.dir, err)
	}
	return bench.Space{Used: (st.Blocks - st.Bfree) * uint64(st.Bsize), Size: st.Blocks * uint64(st.Bsize)}, nil
}

// close unmounts the filesystem, and all that is mounted inside the store's folder
// before.
func (b *base) close(inside ...string) error {
	var errs []error
	for _, dir := range inside {
		if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", dir, err))
		}
		_ = os.Remove(dir)
	}
	if b.mounted {
		if err := filesystem.Unmount(b.dir); err != nil {
			return errors.Join(append(errs, err)...)
		}
		b.mounted = false
	}
	_ = os.Remove(b.dir)
	return errors.Join(errs...)
}

// request does an ioctl on a folder.
func request(dir string, number uintptr, arg []byte) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(ioctl.Do(uintptr(fd), number, arg), unix.Close(fd))
}

// syncFS brings a mounted filesystem onto its disk.
func syncFS(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(fd), unix.Close(fd))
}

// known tells whether this kernel has a filesystem, or can load it.
func known(filesystem string) bool {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false
	}
	if slices.Contains(strings.Fields(string(data)), filesystem) {
		return true
	}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	index, err := os.ReadFile("/lib/modules/" + unix.ByteSliceToString(name.Release[:]) + "/modules.dep")
	return err == nil && strings.Contains(string(index), "/"+filesystem+".ko")
}

// lacks is the sentence for a kernel without a filesystem.
func lacks(filesystem string) error {
	return fmt.Errorf("%w: this kernel has no %s (modprobe %s)", bench.ErrNotReady, filesystem, filesystem)
}
