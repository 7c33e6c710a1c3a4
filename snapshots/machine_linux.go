package snapshots

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/ioctl"
	"github.com/veneerdm/veneer/thinpool"
)

// machine is the Host that a program runs on.
type machine struct{}

// blockDevice describes a block device.
func blockDevice(path string) (thinpool.Disk, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return thinpool.Disk{}, fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return thinpool.Disk{}, fmt.Errorf("%w: %s is not a block device", ErrInvalid, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return thinpool.Disk{}, err
	}
	size, err := f.Seek(0, 2) // the device's size, without an ioctl
	if err := errors.Join(err, f.Close()); err != nil {
		return thinpool.Disk{}, fmt.Errorf("size of %s: %w", path, err)
	}
	return thinpool.Disk{
		Path: path, Dev: devmapper.DevNo{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)},
		Size: devmapper.Sectors(size / devmapper.SectorSize),
	}, nil
}

func (machine) Format(ctx context.Context, f Format) error {
	switch f.Filesystem {
	case "ext4":
		return formatExt4(ctx, f)
	case "xfs":
		return formatXFS(ctx, f)
	}
	return fmt.Errorf("%w: filesystem %q", ErrInvalid, f.Filesystem)
}

// Grow asks the mounted filesystem itself, through a mount that nobody else sees.
// A second mount of one device is the same filesystem, wherever else it is mounted.
func (machine) Grow(_ context.Context, m Mount) error {
	tree, err := m.Open()
	if err != nil {
		return err
	}
	err = growMounted(tree, m)
	return errors.Join(err, tree.Close())
}

// EXT4_IOC_RESIZE_FS and XFS_IOC_FSGROWFSDATA of fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h.
const (
	ext4ResizeFS   = 0x40086610
	xfsGrowFSData  = 0x4010586e
	xfsGeometryV1  = 0x80705864
	xfsGeometryLen = 112
)

func growMounted(tree *Tree, m Mount) error {
	disk, err := blockDevice(m.Source)
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(tree.FD(), &st); err != nil {
		return err
	}
	blocks := disk.Size.Bytes() / uint64(st.Bsize)
	order := binary.NativeEndian
	if m.Type == "ext4" {
		return growIoctl(tree, ext4ResizeFS, order.AppendUint64(nil, blocks), m)
	}
	// struct xfs_fsop_geom_v1: imaxpct is the u32 at 28, datablocks the u64 at 32.
	geometry := make([]byte, xfsGeometryLen)
	if err := growIoctl(tree, xfsGeometryV1, geometry, m); err != nil {
		return err
	}
	// One that is as large already may have lost the power before the copies of its
	// superblock were written, which are not in its journal: this writes them
	// (xfs_growfs_data in fs/xfs/xfs_fsops.c).
	blocks = max(blocks, order.Uint64(geometry[32:]))
	// struct xfs_growfs_data: newblocks u64, imaxpct u32
	in := append(order.AppendUint64(nil, blocks), geometry[28:32]...)
	return growIoctl(tree, xfsGrowFSData, append(in, 0, 0, 0, 0), m)
}

func growIoctl(tree *Tree, request uintptr, arg []byte, m Mount) error {
	if err := ioctl.Do(uintptr(tree.FD()), request, arg); err != nil {
		return fmt.Errorf("grow the %s filesystem on %s: %w", m.Type, m.Source, err)
	}
	return nil
}

// ext4 says in its superblock that its journal is to be replayed
// (EXT4_FEATURE_INCOMPAT_RECOVER, fs/ext4/ext4.h).
const (
	ext4SuperblockAt    = 1024
	ext4IncompatAt      = 96
	ext4IncompatRecover = 0x4
)

// Settle makes five system calls: os.Open would make five more to try a poller that
// no disk has.
func (machine) Settle(_ context.Context, m Mount) (clean bool, err error) {
	fd, err := unix.Open(m.Source, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: m.Source, Err: err}
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	// The superblock comes in while the flush goes out.
	_ = unix.Fadvise(fd, 0, ext4SuperblockAt+ext4IncompatAt+4, unix.FADV_WILLNEED) // advice
	if err := uninterrupted(func() error { return unix.Fsync(fd) }); err != nil {
		return false, fmt.Errorf("flush %s: %w", m.Source, err)
	}
	if m.Type != "ext4" {
		return true, nil
	}
	var word [4]byte
	err = uninterrupted(func() error {
		n, err := unix.Pread(fd, word[:], ext4SuperblockAt+ext4IncompatAt)
		if err == nil && n < len(word) {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read the superblock on %s: %w", m.Source, err)
	}
	return binary.LittleEndian.Uint32(word[:])&ext4IncompatRecover == 0, nil
}

// uninterrupted repeats a system call that a signal cut short.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (machine) Recover(_ context.Context, m Mount) error {
	tree, err := m.Open()
	if err != nil {
		return err
	}
	return tree.Close()
}

func (machine) Discard(_ context.Context, device string) error {
	disk, err := blockDevice(device)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	whole := binary.NativeEndian.AppendUint64(make([]byte, 8), disk.Size.Bytes()) // from 0
	err = ioctl.Do(f.Fd(), unix.BLKDISCARD, whole)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil // the pool was told to ignore discards
	}
	if err != nil {
		err = fmt.Errorf("discard %s: %w", device, err)
	}
	return errors.Join(err, f.Close())
}

// Machine is the Host that the program runs on, for programs that wrap it.
func Machine() Host { return machine{} }
