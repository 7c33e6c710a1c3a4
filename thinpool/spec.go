package thinpool

import (
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Limits of a pool (Documentation/admin-guide/device-mapper/thin-provisioning.rst,
// drivers/md/dm-thin.h, dm-thin-metadata.h).
const (
	MinBlockSize  devmapper.Sectors = 128     // 64 KiB
	MaxBlockSize  devmapper.Sectors = 2097152 // 1 GiB
	BlockSizeStep devmapper.Sectors = 128

	MinMetadata = 2 << 20 // bytes
	// MaxMetadata is what a pool can use: 255 index entries of 16320 blocks.
	MaxMetadata = 255 * 16320 * dmthin.MetaBlockSize
)

// maxNameLen leaves room for the suffixes of a thin device's name and UUID:
// "VENEER-", "-thin-" and eight digits.
const maxNameLen = 100

// Disk is a block device that a pool stands on.
type Disk struct {
	Path string
	Dev  devmapper.DevNo
	Size devmapper.Sectors
}

// Spec describes a pool. It is plain data; nothing happens until Create or Open.
type Spec struct {
	Name           string // of the pool's device; thin devices are NAME-thin-ID
	Metadata, Data Disk
	BlockSize      devmapper.Sectors // for the pool's life
	// LowWater is how many free data blocks raise an event.
	LowWater dmthin.DataBlocks
	// ErrorWhenFull fails writes at once when no data block is free. Otherwise they
	// wait for the pool to grow, and fail after the kernel's no_space_timeout.
	ErrorWhenFull bool
	// ExposeDeletedData leaves new blocks unzeroed: faster first writes, and a
	// container can read what a deleted one left behind. The kernel calls it
	// skip_block_zeroing.
	ExposeDeletedData bool
}

// Validate says what is wrong with the spec, if anything. The error is
// devmapper.ErrInvalid.
func (s Spec) Validate() error {
	if len(s.Name) > maxNameLen {
		return fmt.Errorf("%w: pool name %q has %d bytes, %d are possible", devmapper.ErrInvalid, s.Name, len(s.Name), maxNameLen)
	}
	if _, err := devmapper.NewName(s.Name); err != nil {
		return err
	}
	if err := ValidateBlockSize(s.BlockSize); err != nil {
		return err
	}
	switch {
	case s.Metadata.Dev.IsZero() || s.Data.Dev.IsZero():
		return fmt.Errorf("%w: pool %q lacks a metadata or a data device", devmapper.ErrInvalid, s.Name)
	case s.Metadata.Dev == s.Data.Dev:
		return fmt.Errorf("%w: pool %q has %s as metadata and as data device", devmapper.ErrInvalid, s.Name, s.Data.Path)
	case s.Metadata.Size.Bytes() < MinMetadata:
		return fmt.Errorf("%w: metadata device %s has %d bytes, a pool needs %d at least", devmapper.ErrInvalid, s.Metadata.Path, s.Metadata.Size.Bytes(), MinMetadata)
	case s.Data.Size < s.BlockSize:
		return fmt.Errorf("%w: data device %s is smaller than one block of %d bytes", devmapper.ErrInvalid, s.Data.Path, s.BlockSize.Bytes())
	}
	return nil
}

// ValidateBlockSize checks the size of a pool's data blocks.
func ValidateBlockSize(n devmapper.Sectors) error {
	if n < MinBlockSize || n > MaxBlockSize || n%BlockSizeStep != 0 {
		return fmt.Errorf("%w: a block size of %d bytes is not a multiple of 64 KiB from 64 KiB to 1 GiB", devmapper.ErrInvalid, n.Bytes())
	}
	return nil
}

// MetadataSize is how many bytes of metadata a pool should have for so many bytes
// of data and so many thin devices, by the formula of thin_metadata_size: a block
// for each 126 mappings and for each device, and one for the superblock.
func MetadataSize(data uint64, blockSize devmapper.Sectors, thins uint64) uint64 {
	blocks := (data + blockSize.Bytes() - 1) / blockSize.Bytes()
	size := (1 + (blocks+125)/126 + thins) * dmthin.MetaBlockSize
	return min(max(size, MinMetadata), MaxMetadata)
}

func (s Spec) table() devmapper.Table {
	length := s.Data.Size - s.Data.Size%s.BlockSize
	return devmapper.Single(length, devmapper.ThinPool{
		Metadata: s.Metadata.Dev, Data: s.Data.Dev,
		BlockSize: s.BlockSize, LowWater: uint64(s.LowWater),
		SkipBlockZeroing: s.ExposeDeletedData, ErrorIfNoSpace: s.ErrorWhenFull,
	})
}
