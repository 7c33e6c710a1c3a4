package filesystem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"golang.org/x/sys/unix"
)

// device is a block device, or a file with the image of one, that is read past the page
// cache. It makes no use of os.File, whose Open makes five more system calls to try a
// poller that no disk has.
type device struct {
	fd     int
	buffer []byte // one block, where O_DIRECT can write to it
}

// openDevice opens a device read-only. A file on a filesystem that has no O_DIRECT, such
// as tmpfs before Linux 6.6, is read through the page cache, which is all there is of it.
func openDevice(path string) (*device, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &device{fd, aligned()}, nil
}

// aligned gives memory for one block at a multiple of its size, as O_DIRECT wants it. The
// garbage collector does not move it.
func aligned() []byte {
	b := make([]byte, 2*BlockSize)
	skip := -reflect.ValueOf(b).Pointer() & (BlockSize - 1)
	return b[skip : skip+BlockSize]
}

// flush writes the device's dirty pages, and then has the disk write its cache.
func (d *device) flush() error {
	return uninterrupted(func() error { return unix.Fsync(d.fd) })
}

// ReadAt reads one block at a block's place.
func (d *device) ReadAt(p []byte, off int64) (n int, err error) {
	if len(p) != BlockSize || off%BlockSize != 0 {
		return 0, fmt.Errorf("read of %d bytes at %d is not of one block", len(p), off)
	}
	err = uninterrupted(func() (err error) {
		n, err = unix.Pread(d.fd, d.buffer, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	if copy(p, d.buffer[:n]) < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close closes the device.
func (d *device) Close() error { return unix.Close(d.fd) }

// uninterrupted repeats a system call that a signal cut short.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
