package backend

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// copyTree copies a folder's content with owners, modes, times, extended attributes
// and hard links, as the driver that copies must. data copies one regular file.
func copyTree(from, to string, data func(to, from *os.File) error) error {
	links := map[uint64]string{}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if first, ok := links[st.Ino]; ok && !entry.IsDir() {
			return os.Link(first, target)
		}
		if st.Nlink > 1 && !entry.IsDir() {
			links[st.Ino] = target
		}
		if err := copyEntry(path, target, &st, data); err != nil {
			return fmt.Errorf("copy %s: %w", rel, err)
		}
		return nil
	})
}

func copyEntry(path, target string, st *unix.Stat_t, data func(to, from *os.File) error) error {
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err = os.Mkdir(target, 0o700); errors.Is(err, fs.ErrExist) {
			err = nil // the root
		}
	case unix.S_IFREG:
		err = copyFile(path, target, data)
	case unix.S_IFLNK:
		var to string
		if to, err = os.Readlink(path); err == nil {
			err = os.Symlink(to, target)
		}
	default:
		err = unix.Mknod(target, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return err
	}
	if err := unix.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(target, st.Mode&0o7777); err != nil {
			return err
		}
	}
	if err := copyAttributes(path, target); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, target, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func copyFile(path, target string, data func(to, from *os.File) error) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(data(to, from), to.Close())
}

func copyAttributes(path, target string) error {
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil || n == 0 {
		return err
	}
	value := make([]byte, 64<<10)
	for name := range eachName(names[:n]) {
		size, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return err
		}
		if err := unix.Lsetxattr(target, name, value[:size], 0); err != nil {
			return err
		}
	}
	return nil
}

// eachName yields the names of a list that the kernel ends each with a zero.
func eachName(list []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(list) > 0 {
			name := unix.ByteSliceToString(list)
			if !yield(name) {
				return
			}
			list = list[len(name)+1:]
		}
	}
}

// copyBytes copies a file's bytes. On ext4, where it is used, no extents are shared.
func copyBytes(to, from *os.File) error {
	_, err := io.Copy(to, from)
	return err
}

// shareExtents makes one file share another's extents: ioctl_ficlone(2).
func shareExtents(to, from *os.File) error {
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
}
