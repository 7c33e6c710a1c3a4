package dmthin

import (
	"fmt"
	"strconv"
)

// ThinID names one thin device inside its pool. The kernel keeps 24 bits of it
// (drivers/md/dm-thin.c, read_dev_id).
type ThinID uint32

// MaxThinID is the largest id a pool accepts.
const MaxThinID ThinID = 1<<24 - 1

// Valid reports whether the kernel would accept the id.
func (id ThinID) Valid() bool { return id <= MaxThinID }

// String prints the id in decimal, as pool messages and tables want it.
func (id ThinID) String() string { return strconv.FormatUint(uint64(id), 10) }

// TransactionID is the pool's 64-bit generation number. The kernel stores it and
// never interprets it (Documentation/admin-guide/device-mapper/thin-provisioning.rst).
type TransactionID uint64

// DataBlocks counts blocks of a pool's data device. What a block holds is the
// pool's block size, so the type has no conversion to bytes of its own.
type DataBlocks uint64

// MetaBlocks counts 4096-byte blocks of a pool's metadata device.
type MetaBlocks uint64

// MetaBlockSize is the size of a metadata block in bytes
// (drivers/md/dm-thin-metadata.h, THIN_METADATA_BLOCK_SIZE).
const MetaBlockSize = 4096

// Bytes is the size of n metadata blocks in bytes.
func (n MetaBlocks) Bytes() uint64 { return uint64(n) * MetaBlockSize }

// ParseThinID reads a decimal id and checks its range.
func ParseThinID(s string) (ThinID, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || ThinID(n) > MaxThinID {
		return 0, fmt.Errorf("thin id %q is not a number from 0 to %d", s, MaxThinID)
	}
	return ThinID(n), nil
}
