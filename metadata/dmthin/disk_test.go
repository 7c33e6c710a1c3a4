package dmthin_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

// Salts of the kinds of blocks.
const (
	saltSuperblock = 160774
	saltNode       = 121107
	saltIndex      = 160478
	saltBitmap     = 240779
)

// disk is metadata put together block by block, as the kernel would never write it:
// what dmthintest cannot make. Each block is sealed, so that only what is wrong with
// its content can be found.
type disk map[uint64][]byte

// reader gives the disk up to the last block that there is; what is between is zeros.
func (d disk) reader() *bytes.Reader {
	last := uint64(0)
	for at := range d {
		last = max(last, at)
	}
	all := make([]byte, (last+1)*dmthin.MetaBlockSize)
	for at, b := range d {
		copy(all[at*dmthin.MetaBlockSize:], b)
	}
	return bytes.NewReader(all)
}

func (d disk) open(t testing.TB) *dmthin.Metadata {
	t.Helper()
	m, err := dmthin.Open(d.reader())
	require.NoError(t, err)
	return m
}

// change edits a block and seals it again.
func (d disk) change(at uint64, salt uint32, edit func(b []byte)) {
	edit(d[at])
	dmthintest.Seal(d[at], salt)
}

// superblock puts a superblock at block 0 that says that the disk has no size.
func (d disk) superblock(mappings, details uint64) {
	b := make([]byte, dmthin.MetaBlockSize)
	put64(b, 32, 27022010)
	put32(b, 40, 2)
	put64(b, 320, mappings)
	put64(b, 328, details)
	put32(b, 336, 128)
	put32(b, 340, 8)
	d[0] = b
	dmthintest.Seal(b, saltSuperblock)
}

// node puts a tree node with room for exactly its entries, or for one.
func (d disk) node(at uint64, flags, valueSize uint32, keys []uint64, values [][]byte) {
	b := make([]byte, dmthin.MetaBlockSize)
	most := max(len(keys), 1)
	put32(b, 4, flags)
	put64(b, 8, at)
	put32(b, 16, uint32(len(keys)))
	put32(b, 20, uint32(most))
	put32(b, 24, valueSize)
	for i, k := range keys {
		put64(b, 32+8*i, k)
		copy(b[32+8*most+int(valueSize)*i:], values[i])
	}
	d[at] = b
	dmthintest.Seal(b, saltNode)
}

// entry is a key of a node with its value.
type entry struct{ key, value uint64 }

func (d disk) inner(at uint64, children ...entry)  { d.node8(at, 1, children) }
func (d disk) leaf(at uint64, entries ...entry)    { d.node8(at, 2, entries) }
func (d disk) details(at uint64, devices ...entry) { d.detailsAt(at, 0, devices...) }

func (d disk) node8(at uint64, flags uint32, entries []entry) {
	var keys []uint64
	var values [][]byte
	for _, e := range entries {
		keys, values = append(keys, e.key), append(values, binary.LittleEndian.AppendUint64(nil, e.value))
	}
	d.node(at, flags, 8, keys, values)
}

// detailsAt puts a leaf of the details tree: ids with their mapped blocks, snapshotted at time.
func (d disk) detailsAt(at uint64, time uint32, devices ...entry) {
	var keys []uint64
	var values [][]byte
	for _, e := range devices {
		v := make([]byte, 24)
		put64(v, 0, e.value)
		put32(v, 20, time)
		keys, values = append(keys, e.key), append(values, v)
	}
	d.node(at, 2, 24, keys, values)
}

// oneDevice is a disk whose one thin device, 1, has the given root and says that it
// maps so many blocks. Blocks 0 to 2 are taken.
func oneDevice(root, mapped uint64) disk {
	d := disk{}
	d.superblock(1, 2)
	d.leaf(1, entry{1, root})
	d.details(2, entry{1, mapped})
	return d
}

// chain puts inner nodes with one child each, from block at on, above the block leaf.
func (d disk) chain(at uint64, inners int, leaf uint64) {
	for i := range uint64(inners) {
		next := at + i + 1
		if i == uint64(inners)-1 {
			next = leaf
		}
		d.inner(at+i, entry{0, next})
	}
}

// mapping is a value of a device's tree.
func mapping(data uint64, time uint32) uint64 { return data<<24 | uint64(time) }

func put32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func put64(b []byte, at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
