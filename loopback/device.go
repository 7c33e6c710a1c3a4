package loopback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	losetup "github.com/freddierice/go-losetup/v2"
	"golang.org/x/sys/unix"
)

// A Device describes a loop device and its backing file at one moment.
type Device struct {
	Number int    // N of /dev/loopN
	Path   string // device node
	Major  uint32
	Minor  uint32

	// BackingFile is the file's path as the kernel knows it now. It ends in
	// " (deleted)" when the file has no name any more, and is not a way to recognise
	// a file: see Find.
	BackingFile string
	// FileDev and FileIno identify the backing file, as in syscall.Stat_t.
	FileDev, FileIno uint64

	Size      int64 // bytes that the device offers
	BlockSize int   // logical block size in bytes
	ReadOnly  bool
	DirectIO  bool // I/O bypasses the page cache of the backing file
	AutoClear bool // the kernel detaches the device with its last user
}

// String is the device's path and its backing file.
func (d Device) String() string { return d.Path + " of " + d.BackingFile }

// backs tells whether d's backing file has the given identity.
func (d Device) backs(dev, ino uint64) bool { return d.FileDev == dev && d.FileIno == ino }

// Get describes the loop device with a number. The error wraps ErrNotAttached
// when there is no such device or it has no backing file.
func Get(number int) (Device, error) {
	d, err := describe(number)
	return d, failure("look at", nodePath(number), err)
}

func nodePath(number int) string { return fmt.Sprintf(losetup.DeviceFormatString, number) }

// describe opens the device read-only: closing a writable block device makes
// udev probe it again.
func describe(number int) (Device, error) {
	node, err := openNode(number, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return Device{}, fmt.Errorf("%w (%w)", ErrNotAttached, err)
	}
	if err != nil {
		return Device{}, err
	}
	defer node.Close()
	return describeOpen(number, node)
}

func describeOpen(number int, node *os.File) (Device, error) {
	fd := int(node.Fd())
	info, err := unix.IoctlLoopGetStatus64(fd)
	if errors.Is(err, unix.ENXIO) {
		return Device{}, ErrNotAttached
	}
	if err != nil {
		return Device{}, fmt.Errorf("read its status: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Device{}, fmt.Errorf("read its number: %w", err)
	}
	size, err := node.Seek(0, io.SeekEnd)
	if err != nil {
		return Device{}, fmt.Errorf("read its size: %w", err)
	}
	block, err := unix.IoctlGetUint32(fd, unix.BLKSSZGET)
	if err != nil {
		return Device{}, fmt.Errorf("read its block size: %w", err)
	}
	return Device{
		Number: number, Path: node.Name(),
		Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev),
		BackingFile: backingPath(number, info),
		FileDev:     info.Device, FileIno: info.Inode,
		Size: size, BlockSize: int(block),
		ReadOnly:  info.Flags&unix.LO_FLAGS_READ_ONLY != 0,
		DirectIO:  info.Flags&unix.LO_FLAGS_DIRECT_IO != 0,
		AutoClear: info.Flags&unix.LO_FLAGS_AUTOCLEAR != 0,
	}, nil
}

// backingPath prefers sysfs: the name in the status was given by whoever attached
// the device and is cut at 64 bytes.
func backingPath(number int, info *unix.LoopInfo64) string {
	if path, err := os.ReadFile(sysfsPath(number, "loop/backing_file")); err == nil {
		return strings.TrimSuffix(string(path), "\n")
	}
	return unix.ByteSliceToString(info.File_name[:])
}

func sysfsPath(number int, name string) string {
	return filepath.Join("/sys/block", "loop"+strconv.Itoa(number), name)
}

// openNode opens /dev/loopN. Where no devtmpfs made the node, as in a container,
// it makes the node itself.
func openNode(number, flags int) (*os.File, error) {
	node, err := os.OpenFile(nodePath(number), flags, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return node, err
	}
	if mkErr := makeNode(nodePath(number), unix.S_IFBLK, sysfsPath(number, "dev")); mkErr != nil {
		return nil, errors.Join(err, mkErr)
	}
	return os.OpenFile(nodePath(number), flags, 0)
}

// makeNode makes a device node with the number that sysfs tells. The number of
// loop N is not always 7:N, because the driver's max_part spreads the minors.
func makeNode(path string, kind uint32, sysfs string) error {
	text, err := os.ReadFile(sysfs)
	if err != nil {
		return err
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(text), "%d:%d", &major, &minor); err != nil {
		return fmt.Errorf("read a device number from %s: %w", sysfs, err)
	}
	if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor))); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make the node %s: %w", path, err)
	}
	return nil
}
