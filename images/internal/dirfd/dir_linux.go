package dirfd

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Dir is the descriptor of an open directory.
type Dir int

// OpenRoot opens the directory that fd names for reading. The descriptor given,
// which may be an O_PATH one, stays open and remains the caller's.
func OpenRoot(fd int) (Dir, error) {
	return Dir(fd).open(".", 0)
}

// Open opens a directory entry of d. A symbolic link is ELOOP or ENOTDIR.
func (d Dir) Open(name string) (Dir, error) {
	return d.open(name, unix.O_NOFOLLOW)
}

func (d Dir) open(name string, flags int) (Dir, error) {
	fd, err := openat(int(d), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
	return Dir(fd), err
}

// Close closes the descriptor.
func (d Dir) Close() error { return unix.Close(int(d)) }

// Names lists the entries of d, without "." and "..", in no order.
func (d Dir) Names() ([]string, error) {
	fd, err := d.open(".", 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}

// Empty says whether d has no entries.
func (d Dir) Empty() (bool, error) {
	fd, err := d.open(".", 0)
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// Mkdir makes a directory. The umask applies, and the kernel drops the setuid
// and setgid bits.
func (d Dir) Mkdir(name string, perm uint32) error { return unix.Mkdirat(int(d), name, perm) }

// Symlink makes a symbolic link that holds target.
func (d Dir) Symlink(target, name string) error { return unix.Symlinkat(target, int(d), name) }

// Link makes name in d another name of the file oldname in old. A symbolic link
// is linked itself, not what it points to.
func (d Dir) Link(old Dir, oldname, name string) error {
	return unix.Linkat(int(old), oldname, int(d), name, 0)
}

// Mknod makes a device, a fifo or a socket: mode holds the file type too.
func (d Dir) Mknod(name string, mode uint32, major, minor uint32) error {
	return unix.Mknodat(int(d), name, mode, int(unix.Mkdev(major, minor)))
}

// Readlink reads a symbolic link. EINVAL means that name is something else.
func (d Dir) Readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(d), name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// Unlink removes a name that is not a directory; a directory is EISDIR.
func (d Dir) Unlink(name string) error { return unix.Unlinkat(int(d), name, 0) }

// Rmdir removes an empty directory.
func (d Dir) Rmdir(name string) error { return unix.Unlinkat(int(d), name, unix.AT_REMOVEDIR) }

// ChownEntry changes the owner of an entry.
func (d Dir) ChownEntry(name string, uid, gid uint32) error {
	return unix.Fchownat(int(d), name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
}

// ChmodEntry changes the permission bits of an entry that the caller knows not to
// be a symbolic link: kernels before 6.6 have no call that refuses to follow one.
func (d Dir) ChmodEntry(name string, perm uint32) error {
	return unix.Fchmodat(int(d), name, perm, 0)
}

// Chown changes the owner of d itself.
func (d Dir) Chown(uid, gid uint32) error { return unix.Fchown(int(d), int(uid), int(gid)) }

// Chmod changes the permission bits of d itself.
func (d Dir) Chmod(perm uint32) error { return unix.Fchmod(int(d), perm) }

// SetTime sets the access and modification time of an entry.
func (d Dir) SetTime(name string, t Time) error {
	ts := unix.Timespec(t)
	return unix.UtimesNanoAt(int(d), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// SetOwnTime sets the access and modification time of d itself.
func (d Dir) SetOwnTime(t Time) error {
	ts := unix.Timespec(t)
	return unix.UtimesNanoAt(int(d), ".", []unix.Timespec{ts, ts}, 0)
}

func openat(dir int, name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags, perm)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
