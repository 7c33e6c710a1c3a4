package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/thinpool"
)

// loopFiles are files, attached as loop devices. The data is sparse. The metadata
// has all of its space from the beginning: when the disk below is full, writes of
// data fail, but the pool itself goes on and can be cleaned up.
type loopFiles struct{}

// loopOptions are the same at every attach: a filesystem made on one block size may
// not mount on another.
var loopOptions = loopback.Options{DirectIO: true, BlockSize: 4096}

func (loopFiles) Vacant(_ context.Context, p metadata.Pool) error {
	for _, path := range []string{p.Data, p.Metadata} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%w: %s is there already and is not written over; choose another name or remove it", class.Exists, path)
		}
	}
	return nil
}

func (loopFiles) Create(_ context.Context, p metadata.Pool, data, meta uint64) error {
	for _, f := range []struct {
		path string
		size uint64
	}{{p.Data, data}, {p.Metadata, meta}} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		if err := loopback.CreateImage(f.path, imageSize(f.size)); err != nil {
			return err
		}
	}
	return Reserve(p.Metadata)
}

// imageSize is a file's size for a disk of so many bytes.
func imageSize(size uint64) int64 {
	const unit = loopback.ImageUnit
	return int64((size + unit - 1) / unit * unit)
}

// Reserve gives a file its space, where the filesystem below can.
func Reserve(path string) error {
	err := loopback.Preallocate(path)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (loopFiles) Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	var u undo
	defer func() { err = u.after(err) }()
	if data, err = attachFile(ctx, p.Data, &u); err != nil {
		return data, meta, err
	}
	meta, err = attachFile(ctx, p.Metadata, &u)
	return data, meta, err
}

func attachFile(ctx context.Context, path string, u *undo) (thinpool.Disk, error) {
	have, err := loopback.Find(path)
	if err != nil {
		return thinpool.Disk{}, err
	}
	if len(have) > 1 {
		return thinpool.Disk{}, fmt.Errorf("%w: %s is attached to %s and to %s; detach the one that is not used", class.InUse, path, have[0].Path, have[1].Path)
	}
	if len(have) == 0 {
		d, err := loopback.Attach(ctx, path, loopOptions)
		if err != nil {
			return thinpool.Disk{}, err
		}
		u.add(func() error { return d.Detach(context.WithoutCancel(ctx)) })
		have = append(have, d)
	}
	return loopDisk(have[0]), nil
}

func loopDisk(d loopback.Device) thinpool.Disk {
	return thinpool.Disk{
		Path: d.Path, Dev: devmapper.DevNo{Major: d.Major, Minor: d.Minor},
		Size: devmapper.Sectors(d.Size / devmapper.SectorSize),
	}
}

func (loopFiles) Grow(_ context.Context, p metadata.Pool, data, meta uint64) error {
	grow := func(path string, size uint64) error {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if int64(size) > st.Size() {
			if err := loopback.GrowImage(path, imageSize(size)); err != nil {
				return err
			}
		}
		devices, err := loopback.Find(path)
		for _, d := range devices {
			if _, err := d.Grow(); err != nil {
				return err
			}
		}
		return err
	}
	if err := errors.Join(grow(p.Data, data), grow(p.Metadata, meta)); err != nil || meta == 0 {
		return err
	}
	return Reserve(p.Metadata)
}

func (loopFiles) Detach(ctx context.Context, p metadata.Pool) error {
	detach := func(path string) error {
		devices, err := loopback.Find(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, d := range devices {
			if err := d.Detach(ctx); err != nil && !errors.Is(err, loopback.ErrNotAttached) {
				return err
			}
		}
		return err
	}
	return errors.Join(detach(p.Data), detach(p.Metadata))
}

func (loopFiles) Delete(_ context.Context, p metadata.Pool) error {
	var errs []error
	for _, path := range []string{p.Data, p.Metadata} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		_ = os.Remove(filepath.Dir(path)) // the folder stays when it holds anything else
	}
	return errors.Join(errs...)
}
