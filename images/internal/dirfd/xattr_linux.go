package dirfd

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Xattrs reads all extended attributes of d itself; nil when there are none or
// the filesystem knows none.
func (d Dir) Xattrs() (map[string][]byte, error) {
	return xattrs(
		func(buf []byte) (int, error) { return unix.Flistxattr(int(d), buf) },
		func(name string, buf []byte) (int, error) { return unix.Fgetxattr(int(d), name, buf) })
}

// XattrNames lists the names of the extended attributes of d itself.
func (d Dir) XattrNames() ([]string, error) {
	return names(func(buf []byte) (int, error) { return unix.Flistxattr(int(d), buf) })
}

// SetXattr sets an extended attribute of d itself.
func (d Dir) SetXattr(name string, value []byte) error {
	return unix.Fsetxattr(int(d), name, value, 0)
}

// RemoveXattr removes an extended attribute of d itself.
func (d Dir) RemoveXattr(name string) error { return unix.Fremovexattr(int(d), name) }

// SetXattr sets an extended attribute of f.
func (f File) SetXattr(name string, value []byte) error {
	return unix.Fsetxattr(int(f), name, value, 0)
}

// RemoveXattr removes an extended attribute of f.
func (f File) RemoveXattr(name string) error { return unix.Fremovexattr(int(f), name) }

// EntryXattrs reads all extended attributes of an entry of any type. No system
// call takes a directory descriptor here before Linux 6.13, so the path goes
// through /proc, whose last component is not followed.
func (d Dir) EntryXattrs(name string) (map[string][]byte, error) {
	path := d.procPath(name)
	return xattrs(
		func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Lgetxattr(path, attr, buf) })
}

// SetEntryXattr sets an extended attribute of an entry of any type.
func (d Dir) SetEntryXattr(name, attr string, value []byte) error {
	return unix.Lsetxattr(d.procPath(name), attr, value, 0)
}

// RemoveEntryXattr removes an extended attribute of an entry of any type.
func (d Dir) RemoveEntryXattr(name, attr string) error {
	return unix.Lremovexattr(d.procPath(name), attr)
}

func (d Dir) procPath(name string) string {
	return "/proc/self/fd/" + strconv.Itoa(int(d)) + "/" + name
}

func xattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string][]byte, error) {
	attrs, err := names(list)
	if err != nil || len(attrs) == 0 {
		return nil, err
	}
	m := make(map[string][]byte, len(attrs))
	for _, attr := range attrs {
		value, err := grow(func(buf []byte) (int, error) { return get(attr, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m[attr] = value
	}
	return m, nil
}

func names(list func([]byte) (int, error)) ([]string, error) {
	buf, err := grow(list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil || len(buf) == 0 {
		return nil, err
	}
	parts := bytes.Split(bytes.TrimSuffix(buf, []byte{0}), []byte{0})
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = string(p)
	}
	return out, nil
}

// grow calls read with a larger buffer for as long as it says ERANGE. The kernel
// caps a value and a list at 64 KiB each.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	var stack [256]byte
	buf := stack[:]
	for {
		n, err := read(buf)
		switch {
		case errors.Is(err, unix.ERANGE) && len(buf) < 1<<16:
			buf = make([]byte, len(buf)*16)
		case err != nil:
			return nil, err
		default:
			return bytes.Clone(buf[:n]), nil
		}
	}
}
