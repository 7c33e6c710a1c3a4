package loopback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	losetup "github.com/freddierice/go-losetup/v2"
	"golang.org/x/sys/unix"
)

// Options say how a file is attached. The zero value is a writable device with
// the kernel's own block size and cached I/O.
type Options struct {
	// ReadOnly makes a read-only device; the file is opened read-only too.
	ReadOnly bool
	// DirectIO asks the kernel to bypass the file's page cache. A filesystem that
	// cannot do so is no error: see Device.DirectIO.
	DirectIO bool
	// BlockSize is the logical block size in bytes: 512, 1024, 2048 or 4096. 0
	// leaves the kernel's own, 512. Kernels before 4.14 know no other: see
	// Device.BlockSize. A filesystem made on one block size may not mount on a larger
	// one, so whoever attaches a file again should ask for what it had before.
	BlockSize int
}

func (o Options) validate() error {
	switch o.BlockSize {
	case 0, 512, 1024, 2048, 4096:
		return nil
	}
	return fmt.Errorf("%w: block size %d is not 0, 512, 1024, 2048 or 4096", ErrInvalid, o.BlockSize)
}

// How often Attach looks for a free device, and the longest pause in between.
const (
	attachAttempts = 100
	attachPause    = 20 * time.Millisecond
)

// Attach binds a file to a free loop device. It does not look whether the file is
// attached already: see Find. The device outlives the process.
//
// The error wraps ErrNoLoop without a loop driver, ErrInvalid for options that no
// kernel accepts, fs.ErrNotExist for a missing file, fs.ErrPermission without the
// right to do so, ErrBusy when other processes kept taking every free device, and
// ctx.Err() when ctx ended first.
func Attach(ctx context.Context, file string, o Options) (Device, error) {
	d, err := attach(ctx, file, o)
	return d, failure("attach", file, err)
}

func attach(ctx context.Context, file string, o Options) (Device, error) {
	if err := o.validate(); err != nil {
		return Device{}, err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return Device{}, err
	}
	flags := os.O_RDWR
	if o.ReadOnly {
		flags = os.O_RDONLY
	}
	backing, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return Device{}, err
	}
	defer backing.Close()
	info, err := backing.Stat()
	if err != nil {
		return Device{}, err
	}
	if !info.Mode().IsRegular() {
		return Device{}, fmt.Errorf("%w: it is not a regular file", ErrInvalid)
	}
	o.DirectIO = o.DirectIO && canDirect(path)
	control, err := openControl()
	if err != nil {
		return Device{}, err
	}
	defer control.Close()

	var d Device
	err = retry(ctx, attachAttempts, attachPause, func() (err error) {
		d, err = attachFree(control, backing, o)
		if errors.Is(err, errNoConfigure) {
			d, err = attachLegacy(backing, o)
		}
		return err
	})
	return d, err
}

// openControl opens the loop driver's control node, which also loads the driver
// where the node is there before it.
func openControl() (*os.File, error) {
	control, err := os.OpenFile(losetup.LoopControlPath, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if makeNode(losetup.LoopControlPath, unix.S_IFCHR, "/sys/class/misc/loop-control/dev") == nil {
			control, err = os.OpenFile(losetup.LoopControlPath, os.O_RDWR, 0)
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("%w (%w)", ErrNoLoop, err)
	}
	return control, err
}

// errNoConfigure: the kernel has no LOOP_CONFIGURE.
var errNoConfigure = errors.New("no LOOP_CONFIGURE")

// attachFree takes one free device. An error for which isTaken is true means that
// another process took it first.
func attachFree(control, backing *os.File, o Options) (Device, error) {
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return Device{}, fmt.Errorf("ask for a free loop device: %w", err)
	}
	flags := os.O_RDWR
	if o.ReadOnly {
		flags = os.O_RDONLY
	}
	node, err := openNode(number, flags)
	if err != nil {
		return Device{}, err
	}
	defer node.Close()

	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: uint32(o.BlockSize)}
	// The last byte stays zero. Only old tools read this name; it may be cut.
	copy(config.Info.File_name[:len(config.Info.File_name)-1], backing.Name())
	if o.ReadOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	if o.DirectIO {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	err = unix.IoctlLoopConfigure(int(node.Fd()), &config)
	// The block size was validated, so EINVAL is an old driver's answer to a command
	// that it does not know; some say ENOTTY.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) {
		return Device{}, errNoConfigure
	}
	if err != nil {
		return Device{}, fmt.Errorf("configure %s: %w", node.Name(), err)
	}
	return describeOpen(number, node)
}

// isTaken tells the errors of a lost race from others: the free device was taken
// (EBUSY), or removed again before it could be opened.
func isTaken(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EAGAIN) ||
		errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

// retry calls try until it gives another error than that of a lost race, with a
// random pause after each call so that competing processes do not retry together.
func retry(ctx context.Context, attempts int, longest time.Duration, try func() error) error {
	var err error
	for attempt := range attempts {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if err = try(); err == nil || !isTaken(err) {
			return err
		}
		pause := min(longest, time.Millisecond<<min(attempt, 10))
		if waitErr := wait(ctx, rand.N(pause)+1); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
	return fmt.Errorf("%w: %d free devices were taken by others first: %w", ErrBusy, attempts, err)
}

// wait pauses for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
