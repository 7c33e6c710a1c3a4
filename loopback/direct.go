package loopback

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// canDirect tells whether a file can be read past the page cache. The driver asks the
// filesystem, and falls back by itself; but overlayfs says yes whatever is below it,
// and then every read of the device is an error. So one read is tried. What it finds
// out beyond that, a bad disk, is for whoever reads the device.
func canDirect(path string) bool {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return !isWithoutDirect(err)
	}
	defer file.Close()
	// The memory has to be aligned, to the largest block that a disk may have.
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return true
	}
	_, err = unix.Pread(int(file.Fd()), page, 0)
	return !isWithoutDirect(errors.Join(err, unix.Munmap(page)))
}

func isWithoutDirect(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}
