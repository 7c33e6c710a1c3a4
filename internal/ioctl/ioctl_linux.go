// Package ioctl makes the ioctls that golang.org/x/sys/unix has no name for. It is
// one function, so that pointers handed to the kernel are in one place.
package ioctl

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Do performs an ioctl whose argument is a struct in memory, here its bytes, which
// the kernel reads and may write. It repeats a call that a signal interrupted. The
// error is a bare errno.
func Do(fd uintptr, request uintptr, arg []byte) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(unsafe.SliceData(arg))))
		runtime.KeepAlive(arg)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		default:
			return errno
		}
	}
}
