package loopback

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	losetup "github.com/freddierice/go-losetup/v2"
	"golang.org/x/sys/unix"
)

// attachLegacy takes one free device in the way of kernels before 5.8: bind, then
// set block size and direct I/O one by one. Between the steps the device is
// visible with 512-byte blocks and cached I/O, and nobody but the caller knows it.
func attachLegacy(backing *os.File, o Options) (Device, error) {
	// go-losetup finds the free device, and gives a lost race as a plain EBUSY.
	bound, err := losetup.Attach(backing.Name(), 0, o.ReadOnly)
	if err != nil {
		return Device{}, fmt.Errorf("bind to a free loop device: %w", err)
	}
	number, err := strconv.Atoi(strings.TrimPrefix(bound.Path(), "/dev/loop"))
	if err != nil {
		return Device{}, fmt.Errorf("go-losetup gave the device %s: %w", bound.Path(), err)
	}
	d, err := adjust(number, backing, o)
	if err != nil {
		return Device{}, errors.Join(err, clearIfOf(number, backing))
	}
	return d, nil
}

// adjust brings a bound device to what the options ask for, as far as the kernel
// can, and makes sure that it is backing's: between go-losetup's last step and
// this one another process may have detached it and taken its number.
func adjust(number int, backing *os.File, o Options) (Device, error) {
	flags := os.O_RDWR
	if o.ReadOnly {
		flags = os.O_RDONLY
	}
	node, err := openNode(number, flags)
	if err != nil {
		return Device{}, err
	}
	defer node.Close()
	if _, err := describeAs(number, node, backing); err != nil {
		return Device{}, err
	}
	fd := int(node.Fd())
	if o.BlockSize != 0 {
		err := unix.IoctlSetInt(fd, unix.LOOP_SET_BLOCK_SIZE, o.BlockSize)
		if err != nil && !isUnknown(err) {
			return Device{}, fmt.Errorf("set the block size of %s: %w", node.Name(), err)
		}
	}
	if o.DirectIO {
		// EINVAL is also the answer of a filesystem that cannot do direct I/O.
		err := unix.IoctlSetInt(fd, unix.LOOP_SET_DIRECT_IO, 1)
		if err != nil && !isUnknown(err) {
			return Device{}, fmt.Errorf("set direct I/O of %s: %w", node.Name(), err)
		}
	}
	return describeAs(number, node, backing)
}

// isUnknown tells whether a driver does not know a command.
func isUnknown(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) }

// describeAs describes an open device, or gives ErrNotAttached when it is not
// backing's.
func describeAs(number int, node, backing *os.File) (Device, error) {
	d, err := describeOpen(number, node)
	if err != nil {
		return Device{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(backing.Fd()), &st); err != nil {
		return Device{}, err
	}
	if !d.backs(st.Dev, st.Ino) {
		return Device{}, fmt.Errorf("%w: %s has become %s", ErrNotAttached, node.Name(), d.BackingFile)
	}
	return d, nil
}

// clearIfOf detaches a device that is still backing's.
func clearIfOf(number int, backing *os.File) error {
	node, err := openNode(number, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer node.Close()
	if _, err := describeAs(number, node, backing); err != nil {
		return err
	}
	return unix.IoctlSetInt(int(node.Fd()), unix.LOOP_CLR_FD, 0)
}
