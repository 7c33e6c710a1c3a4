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
// device, else a block node. Both make the same link, so neither waits for the other.
type devNodes struct{ dir string }

// NewWithNodes is New with nodes that are made in a folder, as Open's are in /dev/mapper,
// for tests of what reads them: links to ../dm-N where that is there, else block devices.
func NewWithNodes(t Transport, dir string) *Client {
	c := New(t)
	c.nodes = devNodes{dir: dir}
	return c
}

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

// replace puts a node in the place of what has its name: udev's, or one that a process
// that died left. It is a rename, so that the name always leads to a node.
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

// look gives what is at a node's place: nil when there is nothing. What is neither a link
// nor a block device, such as the control node, is an error.
func (n devNodes) look(name Name) (fs.FileInfo, error) {
	path := filepath.Join(n.dir, name.s)
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the node %s: %w", path, err)
	}
	if !isNode(st.Mode()) {
		return nil, fmt.Errorf("the node %s is neither a link nor a block device", path)
	}
	return st, nil
}

func isNode(m fs.FileMode) bool {
	return m.Type() == fs.ModeSymlink || m.Type() == fs.ModeDevice // with ModeCharDevice a character device
}

func (n devNodes) has(name Name) (bool, error) {
	st, err := n.look(name)
	return st != nil, err
}

// remove takes the node away. udev may have been quicker.
func (n devNodes) remove(name Name) error {
	st, err := n.look(name)
	if err != nil || st == nil {
		return err
	}
	path := filepath.Join(n.dir, name.s)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the node %s: %w", path, err)
	}
	return nil
}

func (n devNodes) list() ([]string, error) {
	entries, err := os.ReadDir(n.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the nodes of devices: %w", err)
	}
	var names []string
	for _, e := range entries {
		if isNode(e.Type()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
