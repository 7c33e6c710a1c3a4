package loopback

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/durable"
)

// ImageUnit is what the size of an image is a multiple of, in bytes: the largest
// block that a loop device can have, so that no tail of the file is out of reach.
const ImageUnit = 4096

// CreateImage makes a sparse file of size bytes, readable by its owner alone. The
// file and its name are on disk when CreateImage returns; after an error there is
// no file. The error wraps fs.ErrExist when anything is at path already, and
// ErrInvalid when size is not a positive multiple of ImageUnit.
func CreateImage(path string, size int64) error {
	return failure("create image", path, createImage(path, size))
}

func createImage(path string, size int64) (err error) {
	if err := validateSize(size); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("a file of that name exists and is not written over: choose another name or remove it: %w", err)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := file.Truncate(size); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// GrowImage makes an image size bytes long; what is added reads as zeros and
// takes no space. The new size is on disk when GrowImage returns. The error wraps
// ErrShrink when the image is longer already. Loop devices notice with Grow.
func GrowImage(path string, size int64) error {
	return failure("grow image", path, growImage(path, size))
}

func growImage(path string, size int64) (err error) {
	if err := validateSize(size); err != nil {
		return err
	}
	file, info, err := openImage(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	switch {
	case info.Size() > size:
		return fmt.Errorf("%w: it has %d bytes, more than the %d asked for", ErrShrink, info.Size(), size)
	case info.Size() < size:
		if err := file.Truncate(size); err != nil {
			return err
		}
	}
	return file.Sync()
}

// Preallocate gives an image all of the disk space that its size promises, so
// that a write can never find the disk full. The error wraps syscall.ENOSPC when
// the filesystem has too little, and syscall.EOPNOTSUPP when it cannot reserve
// space; what had been reserved until then stays with the image.
func Preallocate(path string) error {
	return failure("preallocate", path, preallocate(path))
}

func preallocate(path string) (err error) {
	file, info, err := openImage(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for {
		err := unix.Fallocate(int(file.Fd()), 0, 0, info.Size())
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reserve %d bytes: %w", info.Size(), err)
		}
		return file.Sync()
	}
}

func openImage(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is not a regular file", ErrInvalid)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func validateSize(size int64) error {
	if size <= 0 || size%ImageUnit != 0 {
		return fmt.Errorf("%w: size %d is not a positive multiple of %d", ErrInvalid, size, ImageUnit)
	}
	return nil
}
