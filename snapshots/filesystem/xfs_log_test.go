package filesystem

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ring writes an xfs log as the kernel does, record after record.
type ring struct {
	blocks [][basicBlock]byte
	cycle  uint32
	next   int
}

func newRing(blocks int) *ring {
	return &ring{blocks: make([][basicBlock]byte, blocks), cycle: 1}
}

// put writes one basic block, which begins with the cycle's number.
func (r *ring) put(b [basicBlock]byte) {
	if binary.BigEndian.Uint32(b[:]) == logMagic {
		binary.BigEndian.PutUint32(b[recordCycle:], r.cycle)
	} else {
		binary.BigEndian.PutUint32(b[:], r.cycle)
	}
	r.blocks[r.next] = b
	if r.next++; r.next == len(r.blocks) {
		r.next = 0
		r.cycle++
	}
}

// record is one write of the log.
type record struct {
	size    int // of the buffers it was written from, in bytes; more than 32 KiB take more headers
	data    int // basic blocks
	ops     uint32
	flags   byte // of its first operation
	version uint32
}

var (
	change  = record{size: 32 << 10, data: 5, ops: 12, version: 2}
	unmount = record{size: 32 << 10, data: 1, ops: 1, flags: logUnmount, version: 2}
)

func (r *ring) write(w record) {
	be := binary.BigEndian
	var head [basicBlock]byte
	be.PutUint32(head[:], logMagic)
	be.PutUint32(head[recordVersion:], w.version)
	be.PutUint32(head[recordLen:], uint32(w.data*basicBlock))
	be.PutUint32(head[recordOps:], w.ops)
	be.PutUint32(head[recordSize:], uint32(w.size))
	r.put(head)
	if w.version == 2 {
		for more := w.size/logCyclesPerHead - 1; more > 0; more-- {
			r.put([basicBlock]byte{})
		}
	}
	for i := range w.data {
		var b [basicBlock]byte
		if i == 0 {
			b[opFlags] = w.flags
		}
		r.put(b)
	}
}

// until writes changes until the next record begins at a block.
func (r *ring) until(at int) {
	for r.next != at {
		r.write(record{size: 32 << 10, ops: 2, version: 2})
	}
}

const testBlock = 4096 // of the filesystem

// image is a device with that log in its second allocation group.
func (r *ring) image() *bytes.Reader {
	const logAt = 1<<16 | 3 // a group has 2^16 block numbers, and 8 blocks
	be := binary.BigEndian
	size := len(r.blocks) * basicBlock / testBlock
	b := make([]byte, (11+size+1)*testBlock)
	copy(b, "XFSB")
	be.PutUint32(b[xfsBlockSize:], testBlock)
	be.PutUint64(b[xfsDataBlocks:], uint64(len(b)/testBlock))
	be.PutUint64(b[xfsLogStart:], logAt)
	be.PutUint32(b[xfsAGBlocks:], 8)
	be.PutUint32(b[xfsLogBlocks:], uint32(size))
	b[xfsAGBlockShift] = 16
	for i, block := range r.blocks {
		copy(b[11*testBlock+i*basicBlock:], block[:])
	}
	return bytes.NewReader(b)
}

func TestLogOfXFS(t *testing.T) {
	const blocks = 1024
	big := record{size: 256 << 10, data: 100, ops: 30, version: 2}
	for name, c := range map[string]struct {
		write func(r *ring)
		clean bool
	}{
		"never written to": {func(*ring) {}, true},
		"made":             {func(r *ring) { r.write(unmount) }, true},
		"changed":          {func(r *ring) { r.write(unmount); r.write(change) }, false},
		"changed alone":    {func(r *ring) { r.write(change) }, false},
		"unmounted":        {func(r *ring) { r.write(change); r.write(unmount) }, true},
		"mounted again":    {func(r *ring) { r.write(change); r.write(unmount); r.write(change) }, false},
		"second round":     {func(r *ring) { r.until(blocks - 1); r.write(change); r.write(unmount) }, true},
		"second round, changed": {func(r *ring) {
			r.until(blocks - 1)
			r.write(change)
			r.write(unmount)
			r.write(change)
		}, false},
		"many rounds":                 {func(r *ring) { r.cycle = 77; r.until(0); r.until(500); r.write(unmount) }, true},
		"ends with the ring":          {func(r *ring) { r.until(blocks - 2); r.write(unmount) }, true},
		"ends with the ring, changed": {func(r *ring) { r.until(blocks - 6); r.write(change) }, false},
		"header ends the ring":        {func(r *ring) { r.until(blocks - 1); r.write(unmount) }, true},
		"ends one into the ring":      {func(r *ring) { r.until(0); r.cycle = 5; r.write(record{size: 32 << 10, ops: 1, version: 2}) }, false},
		"large buffers": {func(r *ring) {
			r.write(big)
			r.write(record{size: 256 << 10, data: 1, ops: 1, flags: logUnmount, version: 2})
		}, true},
		"large buffers, changed": {func(r *ring) {
			r.write(record{size: 256 << 10, data: 1, ops: 1, flags: logUnmount, version: 2})
			r.write(big)
		}, false},
		"padded to a stripe of 256 KiB": {func(r *ring) {
			r.write(record{size: 256 << 10, data: 512 - 8, ops: 1, flags: logUnmount, version: 2})
		}, true},
		"version 1 has one header": {func(r *ring) {
			r.write(record{size: 256 << 10, data: 1, ops: 1, flags: logUnmount, version: 1})
		}, true},
		"unmount beside other operations": {func(r *ring) {
			r.write(record{size: 32 << 10, data: 1, ops: 2, flags: logUnmount, version: 2})
		}, false},
		"an unmount that was not written whole": {func(r *ring) {
			r.write(change)
			r.write(record{size: 32 << 10, data: 8, ops: 1, flags: logUnmount, version: 2})
			for i := range 3 {
				r.blocks[r.next-1-i] = [basicBlock]byte{}
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(blocks)
			c.write(r)
			s, err := Read(r.image(), true)
			require.NoError(t, err)
			assert.Equal(t, nameXFS, s.Kind)
			assert.Equal(t, !c.clean, s.NeedsReplay)
		})
	}
}

// Each place at which an unmount can end, in two rounds.
func TestUnmountAnywhere(t *testing.T) {
	const blocks = 64
	for at := range blocks {
		for rounds := range 3 {
			r := newRing(blocks)
			for range rounds {
				r.write(unmount)
				r.until(0)
			}
			r.until(at)
			r.write(unmount)
			s, err := Read(r.image(), true)
			require.NoError(t, err)
			require.False(t, s.NeedsReplay, "unmounted at block %d of round %d", at, rounds)
			r.write(record{size: 32 << 10, data: 2, ops: 3, version: 2})
			s, err = Read(r.image(), true)
			require.NoError(t, err)
			require.True(t, s.NeedsReplay, "changed at block %d of round %d", at, rounds)
		}
	}
}

func TestImpossibleLogs(t *testing.T) {
	be := binary.BigEndian
	for name, spoil := range map[string]func(b []byte){
		"no block size":          func(b []byte) { be.PutUint32(b[xfsBlockSize:], 0) },
		"odd block size":         func(b []byte) { be.PutUint32(b[xfsBlockSize:], 4097) },
		"large blocks":           func(b []byte) { be.PutUint32(b[xfsBlockSize:], 1<<17) },
		"no blocks":              func(b []byte) { be.PutUint32(b[xfsLogBlocks:], 0) },
		"more than the device":   func(b []byte) { be.PutUint32(b[xfsLogBlocks:], 1<<31) },
		"behind the device":      func(b []byte) { be.PutUint64(b[xfsLogStart:], 1<<40) },
		"beyond its group":       func(b []byte) { be.PutUint64(b[xfsLogStart:], 9) },
		"large groups":           func(b []byte) { b[xfsAGBlockShift] = 32 },
		"sizes that wrap around": func(b []byte) { be.PutUint64(b[xfsDataBlocks:], 1<<62); be.PutUint64(b[xfsLogStart:], 1<<60) },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := io.ReadAll(newRing(64).image())
			require.NoError(t, err)
			spoil(b)
			s, err := Read(bytes.NewReader(b), true)
			require.ErrorIs(t, err, errLogDamaged)
			assert.True(t, s.NeedsReplay)
		})
	}
	b, err := io.ReadAll(newRing(64).image())
	require.NoError(t, err)
	_, err = Read(bytes.NewReader(b[:12*testBlock]), true)
	require.ErrorIs(t, err, io.EOF, "the log ends before its end")
	be.PutUint64(b[xfsLogStart:], 0)
	s, err := Read(bytes.NewReader(b), true)
	require.NoError(t, err)
	assert.True(t, s.NeedsReplay, "a log elsewhere may be dirty")
}

// FuzzRead decodes whatever a guest has written to its device: a superblock, and what is
// after the device's first block. Short inputs are mutated best.
func FuzzRead(f *testing.F) {
	be := binary.BigEndian
	xfs := make([]byte, 200)
	copy(xfs, "XFSB")
	be.PutUint32(xfs[xfsBlockSize:], testBlock)
	be.PutUint64(xfs[xfsDataBlocks:], 2)
	be.PutUint64(xfs[xfsLogStart:], 1)
	be.PutUint32(xfs[xfsAGBlocks:], 2)
	be.PutUint32(xfs[xfsLogBlocks:], 1)
	xfs[xfsAGBlockShift] = 1
	r := newRing(testBlock / basicBlock)
	r.write(record{size: 32 << 10, ops: 2, version: 2})
	r.write(unmount)
	f.Add(xfs, bytes.Join([][]byte{r.blocks[0][:], r.blocks[1][:], r.blocks[2][:]}, nil))
	ext := make([]byte, ext4BlocksHigh+4)
	binary.LittleEndian.PutUint16(ext[ext4Magic:], 0xEF53)
	f.Add(ext, []byte{})
	f.Fuzz(func(t *testing.T, head, rest []byte) {
		b := make([]byte, HeadSize+(len(rest)+BlockSize-1)/BlockSize*BlockSize)
		copy(b, head[:min(len(head), HeadSize)])
		copy(b[HeadSize:], rest)
		s, err := Read(bytes.NewReader(b), true)
		require.False(t, err == nil && s.Kind == "" && s.NeedsReplay)
	})
}
