package crash_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
)

// The log of drivers/md/dm-log-writes.c: a super block in the first sector, then for
// each entry one sector that describes it and the data it wrote.
const (
	logMagic    = 0x6a736677736872
	logSector   = 512
	flagFlush   = 1
	flagFUA     = 2
	flagDiscard = 4
	flagMark    = 8
)

type logEntry struct {
	flags   uint64
	at      int64 // bytes on the device
	size    int64
	mark    string
	dataPos int64 // in the log
}

// isCut says whether what the disk is known to hold, or what is acknowledged, may be
// another after this entry. Writes come to the log when a flush has made them last, so
// that at a mark the log is what was on the disk for sure when it was set.
func (e logEntry) isCut() bool { return e.flags&(flagFlush|flagFUA|flagMark) != 0 }

func (e logEntry) writes() bool { return e.flags&(flagDiscard|flagMark) == 0 && e.size > 0 }

// readLog reads the entries of a log, without their data.
func readLog(f *os.File) ([]logEntry, error) {
	head := make([]byte, logSector)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint64(head) != logMagic || le.Uint64(head[8:]) != 1 {
		return nil, fmt.Errorf("no log of dm-log-writes: magic %#x", le.Uint64(head))
	}
	n, unit := le.Uint64(head[16:]), int64(le.Uint32(head[24:]))
	pos := unit
	entries := make([]logEntry, 0, n)
	for range n {
		if _, err := f.ReadAt(head, pos); err != nil {
			return nil, err
		}
		e := logEntry{
			at: int64(le.Uint64(head)) * unit, size: int64(le.Uint64(head[8:])) * unit,
			flags: le.Uint64(head[16:]), dataPos: pos + unit,
		}
		pos += unit
		if length := le.Uint64(head[24:]); e.flags&flagMark != 0 && length <= logSector-32 {
			e.mark = strings.TrimRight(string(head[32:32+length]), "\x00")
		}
		if e.flags&flagDiscard == 0 {
			pos += e.size
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// apply writes an entry's data to a disk.
func (e logEntry) apply(log, disk *os.File) error {
	if !e.writes() {
		return nil
	}
	data, err := e.data(log)
	if err != nil {
		return err
	}
	_, err = disk.WriteAt(data, e.at)
	return err
}

func (e logEntry) data(log *os.File) ([]byte, error) {
	data := make([]byte, e.size)
	_, err := io.ReadFull(io.NewSectionReader(log, e.dataPos, e.size), data)
	return data, err
}

// underWay are the writes that a disk may have, or not, when the power is cut at entry
// n: those that the next flush made last.
func underWay(entries []logEntry, n int) (writes []logEntry) {
	for _, e := range entries[n+1:] {
		if e.mark != "" {
			break
		}
		if e.writes() {
			writes = append(writes, e)
		}
		if e.isCut() {
			break
		}
	}
	return writes
}

// A patch is bytes that reached a disk.
type patch struct {
	at   int64
	data []byte
}

// partOf is what of some writes a disk kept: any of them, in any order, and of one only
// the first sectors, because a disk promises no more than a sector at a time.
func partOf(r *rand.Rand, writes []logEntry, log *os.File) (kept []patch, err error) {
	for _, e := range writes {
		if r.IntN(2) == 0 {
			continue
		}
		data, err := e.data(log)
		if err != nil {
			return nil, err
		}
		kept = append(kept, patch{e.at, data})
	}
	if len(kept) > 0 {
		torn := &kept[r.IntN(len(kept))]
		torn.data = torn.data[:tear(torn.data, r.IntN(len(torn.data)/logSector)*logSector)]
	}
	return kept, nil
}

// tear says how much of a write arrives of which no more than n bytes may.
func tear(data []byte, n int) int {
	const block = 4096
	if at := n / block * block; ext4CountsOn(data[at:]) {
		return at
	}
	return n
}

// ext4CountsOn says whether a block is one that ext4 cannot do without, though it takes
// several sectors, has one checksum and no copy in the journal: its superblock, and the
// one that commits a transaction of its journal (struct ext4_super_block of
// fs/ext4/ext4.h and commit_header of include/linux/jbd2.h). A disk that tears them
// takes the filesystem with it, whatever is below.
func ext4CountsOn(b []byte) bool {
	at := func(offset int, bytes string) bool {
		return len(b) >= offset+len(bytes) && string(b[offset:offset+len(bytes)]) == bytes
	}
	return at(0x438, "\x53\xef") || at(0, "\xc0\x3b\x39\x98\x00\x00\x00\x02")
}
