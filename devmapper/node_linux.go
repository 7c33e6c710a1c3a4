package devmapper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// devNodes makes what udev would make: a link to ../dm-N where devtmpfs has the
// device, else a block node. Both sides making the same link is why nobody needs
// to wait for the other.
type devNodes struct{ dir string }

func (n devNodes) make(name Name, dev DevNo) error {
	path := filepath.Join(n.dir, name.s)
	target := fmt.Sprintf("../dm-%d", dev.Minor)
	err := n.create(path, target, dev)
	if errors.Is(err, fs.ErrExist) {
		err = n.replace(path, target, dev)
	}
	if err != nil {
		return fmt.Errorf("make the node %s: %w", path, err)
	}
	return nil
}

// replace puts a node in the place of what has its name: udev's, or what somebody
// who died has left. A node that replaces another must never be missing in between.
func (n devNodes) replace(path, target string, dev DevNo) error {
	if have, err := os.Readlink(path); err == nil && have == target {
		return nil
	}
	temp := filepath.Join(n.dir, fmt.Sprintf(".%d-%d.tmp", dev.Minor, os.Getpid()))
	err := n.create(temp, target, dev)
	if errors.Is(err, fs.ErrExist) {
		err = os.Remove(temp)
		if err == nil {
			err = n.create(temp, target, dev)
		}
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	return err
}

func (n devNodes) create(temp, target string, dev DevNo) error {
	if _, err := os.Lstat(filepath.Join(n.dir, target)); err == nil {
		return os.Symlink(target, temp)
	}
	return unix.Mknod(temp, unix.S_IFBLK|0o600, int(unix.Mkdev(dev.Major, dev.Minor)))
}

// remove takes the node away. udev may have been quicker.
func (n devNodes) remove(name Name) error {
	path := filepath.Join(n.dir, name.s)
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && st.Mode()&(fs.ModeSymlink|fs.ModeDevice) == 0 {
		return fmt.Errorf("remove the node %s: it is neither a link nor a device", path)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the node %s: %w", path, err)
	}
	return nil
}
