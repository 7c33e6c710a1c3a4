package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/thinpool"
)

func disksFor(p metadata.Pool) Disks {
	switch p.Backing {
	case metadata.BackingDevices:
		return deviceDisks{}
	case metadata.BackingLVM:
		return lvmDisks{}
	default:
		return loopDisks{}
	}
}

// loopDisks are files, attached as loop devices. The data is sparse. The metadata
// has all of its space from the beginning: when the disk below is full, writes of
// data fail, but the pool itself goes on and can be cleaned up.
type loopDisks struct{}

// loopOptions are the same at every attach: a filesystem made on one block size may
// not mount on another.
var loopOptions = loopback.Options{DirectIO: true, BlockSize: 4096}

func (loopDisks) Vacant(_ context.Context, p metadata.Pool) error {
	for _, path := range []string{p.Data, p.Metadata} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%w: %s is there already and is not written over; choose another name or remove it", ErrExists, path)
		}
	}
	return nil
}

func (loopDisks) Create(_ context.Context, p metadata.Pool, data, meta uint64) error {
	for _, f := range []struct {
		path string
		size uint64
	}{{p.Data, data}, {p.Metadata, meta}} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		if err := loopback.CreateImage(f.path, int64(roundUp(f.size, loopback.ImageUnit))); err != nil {
			return err
		}
	}
	return reserve(p.Metadata)
}

// reserve gives a file its space, where the filesystem below can.
func reserve(path string) error {
	err := loopback.Preallocate(path)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (loopDisks) Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	attach := func(path string) (thinpool.Disk, error) {
		have, err := loopback.Find(path)
		if err != nil {
			return thinpool.Disk{}, err
		}
		if len(have) > 1 {
			return thinpool.Disk{}, fmt.Errorf("%w: %s is attached to %s and to %s; detach the one that is not used", ErrInUse, path, have[0].Path, have[1].Path)
		}
		if len(have) == 0 {
			d, err := loopback.Attach(ctx, path, loopOptions)
			if err != nil {
				return thinpool.Disk{}, err
			}
			have = append(have, d)
		}
		return loopDisk(have[0]), nil
	}
	if data, err = attach(p.Data); err != nil {
		return data, meta, err
	}
	meta, err = attach(p.Metadata)
	return data, meta, err
}

func loopDisk(d loopback.Device) thinpool.Disk {
	return thinpool.Disk{
		Path: d.Path, Dev: devmapper.DevNo{Major: d.Major, Minor: d.Minor},
		Size: devmapper.Sectors(d.Size / devmapper.SectorSize),
	}
}

func (loopDisks) Grow(_ context.Context, p metadata.Pool, data, meta uint64) error {
	grow := func(path string, size uint64) error {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if int64(size) > st.Size() {
			if err := loopback.GrowImage(path, int64(roundUp(size, loopback.ImageUnit))); err != nil {
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
	return reserve(p.Metadata)
}

func (loopDisks) Detach(ctx context.Context, p metadata.Pool) error {
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

func (loopDisks) Delete(_ context.Context, p metadata.Pool) error {
	var errs []error
	for _, path := range []string{p.Data, p.Metadata} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		_ = os.Remove(filepath.Dir(path)) // the folder stays when it holds anything else
	}
	return errors.Join(errs...)
}

// deviceDisks are two block devices that were given.
type deviceDisks struct{}

func (deviceDisks) Vacant(_ context.Context, p metadata.Pool) error {
	var disks []thinpool.Disk
	for _, path := range []string{p.Data, p.Metadata} {
		disk, err := blockDevice(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: there is no device %s", ErrNotFound, path)
		}
		if err == nil {
			err = thinpool.Vacant(disk)
		}
		if err != nil {
			return err
		}
		disks = append(disks, disk)
	}
	data, meta := disks[0], disks[1]
	if data.Dev == meta.Dev {
		return fmt.Errorf("%w: %s and %s are one device; data and metadata need one each", ErrInvalid, p.Data, p.Metadata)
	}
	if meta.Size.Bytes() < thinpool.MinMetadata {
		return fmt.Errorf("%w: metadata device %s has %d bytes; a pool needs %d at least", ErrInvalid, p.Metadata, meta.Size.Bytes(), thinpool.MinMetadata)
	}
	return nil
}

// Create has nothing to do: the devices were given.
func (deviceDisks) Create(context.Context, metadata.Pool, uint64, uint64) error { return nil }

func (deviceDisks) Attach(_ context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	if data, err = blockDevice(p.Data); err != nil {
		return data, meta, err
	}
	meta, err = blockDevice(p.Metadata)
	return data, meta, err
}

// Grow finds devices that were grown by whoever gave them.
func (deviceDisks) Grow(_ context.Context, p metadata.Pool, data, meta uint64) error {
	for path, want := range map[string]uint64{p.Data: data, p.Metadata: meta} {
		d, err := blockDevice(path)
		if err != nil {
			return err
		}
		if d.Size.Bytes() < want {
			return fmt.Errorf("%w: %s has %d bytes and not %d; grow the device first", ErrInvalid, path, d.Size.Bytes(), want)
		}
	}
	return nil
}

func (deviceDisks) Detach(context.Context, metadata.Pool) error { return nil }

// Delete makes the devices blank again, if they hold a pool.
func (deviceDisks) Delete(_ context.Context, p metadata.Pool) error {
	return thinpool.Wipe(p.Metadata, p.Data)
}

// backedBelow says whether a device is a loop device over a file below a folder.
func backedBelow(dev devmapper.DevNo, folder string) bool {
	file, err := os.ReadFile("/sys/dev/block/" + dev.String() + "/loop/backing_file")
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	return strings.HasPrefix(string(file), strings.TrimRight(folder, "/")+"/")
}
