package filesystem

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is a mounted filesystem that has no place in any mount namespace: it ends
// with Close or with the process, however the process ends.
type Tree struct {
	fd  int
	dir string // where it had to be mounted on kernels before 5.2, else ""
}

// FD is a directory descriptor of the tree's root. It is valid until Close.
func (t *Tree) FD() int { return t.fd }

// Path leads to the tree's root within this process, until Close.
func (t *Tree) Path() string { return "/proc/self/fd/" + strconv.Itoa(t.fd) }

// Open mounts where nobody sees it. Kernels before 5.2 mount on a folder of root's
// that is taken away again by Close.
func (m Mount) Open() (*Tree, error) {
	if err := m.possible(); err != nil {
		return nil, err
	}
	fs, err := unix.Fsopen(m.Type, unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return m.openAtFolder()
	}
	if err != nil {
		return nil, m.failed(err)
	}
	defer func() { _ = unix.Close(fs) }() // the mount holds what it needs
	if err := unix.FsconfigSetString(fs, "source", m.Source); err != nil {
		return nil, m.failed(err)
	}
	attr := 0
	for _, o := range m.Options {
		name, value, has := strings.Cut(o, "=")
		switch {
		case o == "ro":
			attr |= unix.MOUNT_ATTR_RDONLY
			err = unix.FsconfigSetFlag(fs, "ro")
		case o == "rw":
		case has:
			err = unix.FsconfigSetString(fs, name, value)
		default:
			err = unix.FsconfigSetFlag(fs, o)
		}
		if err != nil {
			return nil, m.failed(fmt.Errorf("option %s: %w", o, err))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, m.failed(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return nil, m.failed(err)
	}
	return m.rooted(fd, "")
}

// rooted turns a mount's descriptor, which is O_PATH, into one that system calls
// such as fsync and ioctl take.
func (m Mount) rooted(mount int, dir string) (*Tree, error) {
	fd, err := unix.Openat(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	err = errors.Join(err, unix.Close(mount))
	if err != nil {
		return nil, m.failed(err)
	}
	return &Tree{fd: fd, dir: dir}, nil
}

func (m Mount) failed(err error) error {
	return fmt.Errorf("mount %s as %s: %w", m.Source, m.Type, err)
}

// Close writes everything to the device and unmounts.
func (t *Tree) Close() error {
	err := unix.Syncfs(t.fd)
	err = errors.Join(err, unix.Close(t.fd))
	if t.dir != "" {
		err = errors.Join(err, unix.Unmount(t.dir, 0), os.Remove(t.dir))
	}
	return err
}

func (m Mount) openAtFolder() (*Tree, error) {
	dir, err := os.MkdirTemp("/run", "veneer-mount-")
	if err != nil {
		return nil, err
	}
	if err := m.At(dir); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, unix.Unmount(dir, 0), os.Remove(dir))
	}
	return m.rooted(fd, dir)
}

// At mounts on a folder, where everybody sees it until Unmount.
func (m Mount) At(dir string) error {
	if err := m.possible(); err != nil {
		return err
	}
	var flags uintptr
	var data []string
	for _, o := range m.Options {
		switch o {
		case "ro":
			flags |= unix.MS_RDONLY
		case "rw":
		default:
			data = append(data, o)
		}
	}
	if err := unix.Mount(m.Source, dir, m.Type, flags, strings.Join(data, ",")); err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.Source, dir, err)
	}
	return nil
}

// Unmount unmounts a folder. A busy one stays mounted: syscall.EBUSY.
func Unmount(dir string) error {
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// Replace mounts on a folder in place of what is mounted there. Whoever uses the
// old mount keeps it until it lets go.
func (m Mount) Replace(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return m.At(dir)
}
