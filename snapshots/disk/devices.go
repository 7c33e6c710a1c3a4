package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/thinpool"
)

// devices are two block devices that were given.
type devices struct{}

func (devices) Vacant(_ context.Context, p metadata.Pool) error {
	var disks []thinpool.Disk
	for _, path := range []string{p.Data, p.Metadata} {
		disk, err := Device(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: there is no device %s", class.NotFound, path)
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
		return fmt.Errorf("%w: %s and %s are one device; data and metadata need one each", class.Invalid, p.Data, p.Metadata)
	}
	if meta.Size.Bytes() < thinpool.MinMetadata {
		return fmt.Errorf("%w: metadata device %s has %d bytes; a pool needs %d at least", class.Invalid, p.Metadata, meta.Size.Bytes(), thinpool.MinMetadata)
	}
	return nil
}

// Create has nothing to do: the devices were given.
func (devices) Create(context.Context, metadata.Pool, uint64, uint64) error { return nil }

func (devices) Attach(_ context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	if data, err = Device(p.Data); err != nil {
		return data, meta, err
	}
	meta, err = Device(p.Metadata)
	return data, meta, err
}

// Grow finds devices that were grown by whoever gave them.
func (devices) Grow(_ context.Context, p metadata.Pool, data, meta uint64) error {
	for path, want := range map[string]uint64{p.Data: data, p.Metadata: meta} {
		d, err := Device(path)
		if err != nil {
			return err
		}
		if d.Size.Bytes() < want {
			return fmt.Errorf("%w: %s has %d bytes and not %d; grow the device first", class.Invalid, path, d.Size.Bytes(), want)
		}
	}
	return nil
}

func (devices) Detach(context.Context, metadata.Pool) error { return nil }

// Delete makes the devices blank again, if they hold a pool.
func (devices) Delete(_ context.Context, p metadata.Pool) error {
	return thinpool.Wipe(p.Metadata, p.Data)
}
