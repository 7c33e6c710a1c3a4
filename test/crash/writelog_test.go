package crash_test

import (
	"encoding/binary"
	"fmt"
	"io"
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

func (e logEntry) isCut() bool { return e.flags&(flagFlush|flagFUA) != 0 }

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
	data := make([]byte, e.size)
	if _, err := io.ReadFull(io.NewSectionReader(log, e.dataPos, e.size), data); err != nil {
		return err
	}
	_, err := disk.WriteAt(data, e.at)
	return err
}
