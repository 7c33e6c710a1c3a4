package dirfd

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// File is the descriptor of an open regular file.
type File int

// Create makes a regular file for writing; EEXIST when the name is taken, be it
// by a dangling symbolic link. The umask applies to perm.
func (d Dir) Create(name string, perm uint32) (File, error) {
	fd, err := openat(int(d), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
	return File(fd), err
}

// OpenFile opens a regular file for reading. It neither follows a link nor waits
// for the other end of a fifo.
func (d Dir) OpenFile(name string) (File, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := openat(int(d), name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = openat(int(d), name, flags, 0)
	}
	return File(fd), err
}

// Write writes all of p.
func (f File) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Write(int(f), p[done:])
		if n > 0 {
			done += n
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Read reads as io.Reader does.
func (f File) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(f), p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Skip moves the write position forward by n bytes, leaving a hole.
func (f File) Skip(n int64) error {
	_, err := unix.Seek(int(f), n, io.SeekCurrent)
	return err
}

// Truncate sets the size.
func (f File) Truncate(size int64) error { return unix.Ftruncate(int(f), size) }

// Chown changes the owner; the kernel then drops setuid and setgid bits and
// file capabilities, so it comes before Chmod and SetXattr.
func (f File) Chown(uid, gid uint32) error { return unix.Fchown(int(f), int(uid), int(gid)) }

// Chmod changes the permission bits.
func (f File) Chmod(perm uint32) error { return unix.Fchmod(int(f), perm) }

// Close closes the descriptor.
func (f File) Close() error { return unix.Close(int(f)) }
