package loopback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long Detach waits for the kernel when ctx sets no deadline, and how often it
// looks.
const (
	detachTimeout = 10 * time.Second
	detachPoll    = 2 * time.Millisecond
)

// Detach takes the backing file away from the device and waits until the kernel
// has released it, at most until ctx ends or for ten seconds.
//
// The error wraps ErrBusy when the device is mounted, part of another block
// device, or still open somewhere when the wait ends; in the last case the kernel
// finishes the detachment with the last user. It wraps ErrNotAttached when the
// device is not attached to d's file any more: nothing is done then, and a caller
// that wants the device gone can take that as success.
func (d Device) Detach(ctx context.Context) error {
	return failure("detach", d.Path, d.detach(ctx))
}

func (d Device) detach(ctx context.Context) error {
	if err := d.askToDetach(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, detachTimeout)
	defer cancel()
	for {
		now, err := describe(d.Number)
		if errors.Is(err, ErrNotAttached) || err == nil && !now.backs(d.FileDev, d.FileIno) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := wait(ctx, detachPoll); err != nil {
			return fmt.Errorf("%w: another process has it open, and it goes with that process: %w", ErrBusy, err)
		}
	}
}

// askToDetach issues LOOP_CLR_FD unless somebody visibly needs the device: the
// kernel would not refuse, but detach it as soon as the last user closes it.
func (d Device) askToDetach() error {
	node, err := d.open(os.O_RDONLY)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := d.users(); err != nil {
		return err
	}
	switch err := unix.IoctlSetInt(int(node.Fd()), unix.LOOP_CLR_FD, 0); {
	case errors.Is(err, unix.ENXIO):
		return ErrNotAttached
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	default:
		return err
	}
}

// open opens the device after making sure that it is still d.
func (d Device) open(flags int) (*os.File, error) {
	node, err := openNode(d.Number, flags)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w (%w)", ErrNotAttached, err)
	}
	if err != nil {
		return nil, err
	}
	now, err := describeOpen(d.Number, node)
	if err == nil && !now.backs(d.FileDev, d.FileIno) {
		err = fmt.Errorf("%w: it has become the device of %s", ErrNotAttached, now.BackingFile)
	}
	if err != nil {
		node.Close()
		return nil, err
	}
	return node, nil
}

// users gives ErrBusy, naming one user, when the device is mounted or part of
// another block device.
func (d Device) users() error {
	holders, _ := filepath.Glob(sysfsPath(d.Number, "holders/*"))
	if len(holders) > 0 {
		return fmt.Errorf("%w: the block device %s is made of it", ErrBusy, filepath.Base(holders[0]))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil // without /proc there is no telling; the kernel still decides
	}
	number := fmt.Sprintf("%d:%d", d.Major, d.Minor)
	for line := range strings.Lines(string(mounts)) {
		// id parent major:minor root mountpoint ...
		if fields := strings.Fields(line); len(fields) > 4 && fields[2] == number {
			return fmt.Errorf("%w: it is mounted on %s", ErrBusy, fields[4])
		}
	}
	return nil
}

// Grow makes the device as large as its backing file is now, and describes it
// afresh. Block devices made of it keep their size until their tables are loaded
// anew. The error wraps ErrNotAttached when the device has another file by now.
func (d Device) Grow() (Device, error) {
	grown, err := d.grow()
	return grown, failure("grow", d.Path, err)
}

func (d Device) grow() (Device, error) {
	node, err := d.open(os.O_RDONLY)
	if err != nil {
		return Device{}, err
	}
	defer node.Close()
	if err := unix.IoctlSetInt(int(node.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return Device{}, fmt.Errorf("read the file's new size: %w", err)
	}
	return describeOpen(d.Number, node)
}
