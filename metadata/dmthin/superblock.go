package dmthin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrCorrupt is wrapped by every error that says that metadata is not as the
// kernel writes it.
var ErrCorrupt = errors.New("pool metadata is corrupt")

const (
	superblockMagic = 27022010
	// Salts of drivers/md/dm-thin-metadata.c and persistent-data/*.c, which make a
	// block of one kind never pass as one of another.
	saltSuperblock = 160774
	saltNode       = 121107
	saltIndex      = 160478
	saltBitmap     = 240779
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is dm_bm_checksum: crc32c without the final inversion, over all but the
// checksum itself, xor a salt.
func checksum(block []byte, salt uint32) uint32 {
	return ^crc32.Checksum(block[4:MetaBlockSize], castagnoli) ^ salt
}

// Superblock is block 0 of a pool's metadata, or the copy of it that a metadata
// snapshot is (struct thin_disk_superblock, drivers/md/dm-thin-metadata.c).
type Superblock struct {
	Block         MetaBlocks // where it stands
	NeedsCheck    bool
	UUID          [16]byte
	Version       uint32 // 1 or 2
	Time          uint32 // counts snapshots; must stay below 2^24
	Transaction   TransactionID
	HeldRoot      MetaBlocks // 0 for none
	Mappings      MetaBlocks // root of the tree of devices' mapping trees
	Details       MetaBlocks // root of the tree of devices' details
	DataBlockSize uint32     // sectors
	MetaBlocks    MetaBlocks // size of the metadata device when it was last opened
	// DataBlocks and MetaUsed come from the space maps; both are 0 in a metadata snapshot.
	DataBlocks DataBlocks
	DataUsed   DataBlocks
	MetaUsed   MetaBlocks
}

// MaxTime is the last snapshot time that fits a mapping. The kernel does not stop
// there: later snapshots corrupt the pool.
const MaxTime = 1<<24 - 1

// IsSuperblock reports whether a block is a pool's superblock by its magic number,
// whether whole or damaged.
func IsSuperblock(block []byte) bool {
	return len(block) >= 40 && binary.LittleEndian.Uint64(block[32:]) == superblockMagic
}

// ParseSuperblock reads the superblock that stands at block number at.
func ParseSuperblock(b []byte, at MetaBlocks) (Superblock, error) {
	le := binary.LittleEndian
	bad := func(format string, args ...any) (Superblock, error) {
		return Superblock{}, fmt.Errorf("%w: superblock at %d: %s", ErrCorrupt, at, fmt.Sprintf(format, args...))
	}
	switch {
	case len(b) != MetaBlockSize:
		return bad("%d bytes", len(b))
	case !IsSuperblock(b):
		return bad("magic number %d", le.Uint64(b[32:]))
	case le.Uint32(b) != checksum(b, saltSuperblock):
		return bad("checksum does not match")
	case MetaBlocks(le.Uint64(b[8:])) != at:
		return bad("says that it is block %d", le.Uint64(b[8:]))
	}
	s := Superblock{
		Block:         at,
		NeedsCheck:    le.Uint32(b[4:])&1 != 0,
		UUID:          [16]byte(b[16:32]),
		Version:       le.Uint32(b[40:]),
		Time:          le.Uint32(b[44:]),
		Transaction:   TransactionID(le.Uint64(b[48:])),
		HeldRoot:      MetaBlocks(le.Uint64(b[56:])),
		DataBlocks:    DataBlocks(le.Uint64(b[64:])),
		DataUsed:      DataBlocks(le.Uint64(b[72:])),
		MetaUsed:      MetaBlocks(le.Uint64(b[200:])),
		Mappings:      MetaBlocks(le.Uint64(b[320:])),
		Details:       MetaBlocks(le.Uint64(b[328:])),
		DataBlockSize: le.Uint32(b[336:]),
		MetaBlocks:    MetaBlocks(le.Uint64(b[344:])),
	}
	switch {
	case s.Version != 1 && s.Version != 2:
		return bad("format version %d; 1 and 2 are known", s.Version)
	case le.Uint32(b[340:]) != MetaBlockSize/512:
		return bad("metadata block size of %d sectors", le.Uint32(b[340:]))
	case le.Uint32(b[360:]) != 0:
		return bad("unknown incompatible features %#x", le.Uint32(b[360:]))
	case s.DataBlockSize == 0:
		return bad("data block size 0")
	}
	return s, nil
}
