package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/ioctl"
)

// Grow makes the filesystem as large as its device, whoever has it mounted or not: it
// asks the filesystem itself, through a mount that nobody else sees. A second mount of
// one device is the same filesystem, wherever else it is mounted.
func Grow(_ context.Context, m Mount) error {
	k, err := ByName(m.Type)
	if err != nil {
		return err
	}
	size, err := deviceSize(m.Source)
	if err != nil {
		return err
	}
	tree, err := m.Open()
	if err != nil {
		return err
	}
	err = k.Grow(tree, size)
	if err != nil {
		err = fmt.Errorf("grow the %s filesystem on %s: %w", m.Type, m.Source, err)
	}
	return errors.Join(err, tree.Close())
}

// deviceSize is a block device's size in bytes.
func deviceSize(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("size of %s: %w", path, err)
	}
	return uint64(size), nil
}

// blockSize is how many bytes the filesystem's blocks have.
func (t *Tree) blockSize() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(t.fd, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bsize), nil
}

// ioctl asks the filesystem of a tree.
func (t *Tree) ioctl(request uintptr, arg []byte) error {
	return ioctl.Do(uintptr(t.fd), request, arg)
}
