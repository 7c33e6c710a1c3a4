package filesystem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An xfs log is a ring of basic blocks of 512 bytes. Each write of it begins with a
// header and carries the number of the round, the cycle, in the first word of each of
// its blocks; so the newest block, the head, is where the cycle falls. An unmount writes
// one last record, whose one operation says so. The log is clean if that is the record
// right before the head (xlog_find_tail and xlog_check_unmount_rec in
// fs/xfs/xfs_log_recover.c; the structures are in fs/xfs/libxfs/xfs_log_format.h).
const (
	basicBlock = 512

	logMagic         = 0xFEEDbabe
	logVersion2      = 2
	logCyclesPerHead = 32 << 10 // bytes of a record whose first words one header block keeps
	logRecordMost    = 256 << 10
	logUnmount       = 0x20 // XLOG_UNMOUNT_TRANS

	// in struct xlog_rec_header
	recordCycle   = 4
	recordVersion = 8
	recordLen     = 12
	recordOps     = 40
	recordSize    = 320
	// in struct xlog_op_header
	opFlags = 9
)

var errLogDamaged = errors.New("the superblock describes a log that cannot be")

// xfsLog reads the log of one filesystem.
type xfsLog struct {
	device io.ReaderAt
	at     int64 // in bytes
	blocks int64 // basic blocks

	block  []byte // the last BlockSize bytes that were read
	loaded int64  // where they are
}

// NeedsReplay is true for all that is not an unmounted log beyond doubt.
func (xfs) NeedsReplay(head []byte, device io.ReaderAt) (bool, error) {
	l, err := newXFSLog(head, device)
	if l == nil || err != nil {
		return true, err
	}
	clean, err := l.clean()
	return !clean, err
}

// newXFSLog is nil for a log on a device of its own.
func newXFSLog(head []byte, device io.ReaderAt) (*xfsLog, error) {
	be := binary.BigEndian
	start, blocks := be.Uint64(head[xfsLogStart:]), be.Uint32(head[xfsLogBlocks:])
	blockSize, agBlocks, shift := be.Uint32(head[xfsBlockSize:]), be.Uint32(head[xfsAGBlocks:]), head[xfsAGBlockShift]
	if start == 0 {
		return nil, nil
	}
	if blockSize < basicBlock || blockSize > 64<<10 || blockSize&(blockSize-1) != 0 || shift > 31 || blocks == 0 {
		return nil, fmt.Errorf("%w: %d blocks of %d bytes", errLogDamaged, blocks, blockSize)
	}
	// A block's number has that of its allocation group above those of the group's blocks.
	group, block := start>>shift, start&(1<<shift-1)
	number := group*uint64(agBlocks) + block
	if total := be.Uint64(head[xfsDataBlocks:]); group > total || block >= uint64(agBlocks) || number > total || uint64(blocks) > total-number || total > 1<<62/uint64(blockSize) {
		return nil, fmt.Errorf("%w: it begins at block %d of %d", errLogDamaged, number, total)
	}
	return &xfsLog{
		device: device, at: int64(number * uint64(blockSize)), blocks: int64(blocks) * int64(blockSize) / basicBlock, loaded: -1,
	}, nil
}

func (l *xfsLog) clean() (bool, error) {
	head, err := l.head()
	if err != nil || head < 0 {
		return err == nil, err
	}
	return l.unmountedAt(head)
}

// read gives one basic block of the log. It is valid until the next read.
func (l *xfsLog) read(n int64) ([]byte, error) {
	at := l.at + n*basicBlock
	if from := at &^ (BlockSize - 1); from != l.loaded {
		if l.block == nil {
			l.block = make([]byte, BlockSize)
		}
		l.loaded = -1
		if got, err := l.device.ReadAt(l.block, from); got < BlockSize {
			return nil, fmt.Errorf("block %d of the log: %w", n, err)
		}
		l.loaded = from
	}
	in := at - l.loaded
	return l.block[in : in+basicBlock], nil
}

// cycle is the round in which a block was written, 0 for never (xlog_get_cycle).
func (l *xfsLog) cycle(n int64) (uint32, error) {
	b, err := l.read(n)
	if err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint32(b) == logMagic {
		b = b[recordCycle:]
	}
	return binary.BigEndian.Uint32(b), nil
}

// head is the block after the newest, or -1 for a log that was never written to. Whether
// all writes before it have reached the disk is not looked at: what is missing is newer
// than the last unmount, or the record before the head is none.
func (l *xfsLog) head() (int64, error) {
	first, err := l.cycle(0)
	if err != nil {
		return 0, err
	}
	last, err := l.cycle(l.blocks - 1)
	if err != nil {
		return 0, err
	}
	if first == last {
		if first == 0 {
			return -1, nil
		}
		return 0, nil // the round has just ended
	}
	low, high := int64(0), l.blocks-1 // low is of another cycle than last, high is of last
	for low+1 < high {
		middle := (low + high) / 2
		c, err := l.cycle(middle)
		if err != nil {
			return 0, err
		}
		if c == last {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

// unmountedAt says whether the record that ends at the head is that of an unmount.
func (l *xfsLog) unmountedAt(head int64) (bool, error) {
	be := binary.BigEndian
	most := min(l.blocks, logRecordMost/basicBlock+logRecordMost/logCyclesPerHead)
	for back := int64(1); back <= most; back++ {
		at := (head - back + l.blocks) % l.blocks
		b, err := l.read(at)
		if err != nil {
			return false, err
		}
		if be.Uint32(b) != logMagic {
			continue
		}
		headers := int64(1)
		if size := int64(be.Uint32(b[recordSize:])); be.Uint32(b[recordVersion:])&logVersion2 != 0 && size > logCyclesPerHead {
			headers = (size + logCyclesPerHead - 1) / logCyclesPerHead
		}
		data := (int64(be.Uint32(b[recordLen:])) + basicBlock - 1) / basicBlock
		if be.Uint32(b[recordOps:]) != 1 || headers+data != back {
			return false, nil
		}
		op, err := l.read((at + headers) % l.blocks)
		return err == nil && op[opFlags]&logUnmount != 0, err
	}
	return false, nil
}
