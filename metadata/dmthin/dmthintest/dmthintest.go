// Package dmthintest writes pool metadata as the kernel would, from a description,
// for tests of readers. Equal tree nodes are stored once, so that devices share
// them as snapshots do. Its space maps are of no blocks at all. Production code must
// not import it.
package dmthintest

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Pool describes a pool's metadata.
type Pool struct {
	Transaction   uint64
	Time          uint32
	DataBlockSize uint32 // sectors
	Devices       map[dmthin.ThinID]Device
	// LeafEntries is how many mappings a leaf gets; 0 means 126, as after splits.
	LeafEntries int
}

// Device describes one thin device.
type Device struct {
	Transaction          uint64
	Created, Snapshotted uint32
	Mappings             map[uint64]Mapping // by virtual block
}

// Mapping is where a virtual block is.
type Mapping struct {
	Data uint64
	Time uint32
}

// HeldRoot is the block at which Bytes puts a copy of the superblock, as a
// metadata snapshot is.
const HeldRoot dmthin.MetaBlocks = 1

const (
	block      = dmthin.MetaBlockSize
	header     = 32
	mostValues = 252
)

type builder struct {
	blocks [][]byte
	known  map[string]uint64
}

// Bytes writes the metadata: the superblock, its copy at HeldRoot and the trees.
func Bytes(p Pool) []byte {
	b := &builder{blocks: make([][]byte, 2), known: map[string]uint64{}}
	leafEntries := p.LeafEntries
	if leafEntries == 0 {
		leafEntries = 126
	}
	var ids []uint64
	var roots, details [][]byte
	for _, id := range slices.Sorted(maps.Keys(p.Devices)) {
		d := p.Devices[id]
		keys := slices.Sorted(maps.Keys(d.Mappings))
		values := make([][]byte, len(keys))
		for i, k := range keys {
			m := d.Mappings[k]
			values[i] = le64(m.Data<<24 | uint64(m.Time))
		}
		ids = append(ids, uint64(id))
		roots = append(roots, le64(b.tree(keys, values, 8, leafEntries)))
		info := append(le64(uint64(len(keys))), le64(d.Transaction)...)
		info = binary.LittleEndian.AppendUint32(info, d.Created)
		details = append(details, binary.LittleEndian.AppendUint32(info, d.Snapshotted))
	}
	mappings := b.tree(ids, roots, 8, 126)
	devices := b.tree(ids, details, 24, 63)
	maps := spaceMaps{dataIndex: b.node(nil, nil, 16, true), counts: b.node(nil, nil, 4, true), metaIndex: b.index()}
	for at := range 2 {
		b.blocks[at] = superblock(p, uint64(at), mappings, devices, uint64(len(b.blocks)), maps)
	}
	return slices.Concat(b.blocks...)
}

// spaceMaps is where the parts of both are.
type spaceMaps struct{ dataIndex, metaIndex, counts uint64 }

// index makes an index block without bitmaps.
func (b *builder) index() uint64 {
	at := uint64(len(b.blocks))
	n := make([]byte, block)
	binary.LittleEndian.PutUint64(n[8:], at)
	Seal(n, 160478)
	b.blocks = append(b.blocks, n)
	return at
}

func superblock(p Pool, at, mappings, devices, blocks uint64, maps spaceMaps) []byte {
	s := make([]byte, block)
	le := binary.LittleEndian
	le.PutUint64(s[8:], at)
	le.PutUint64(s[32:], 27022010)
	le.PutUint32(s[40:], 2)
	le.PutUint32(s[44:], p.Time)
	le.PutUint64(s[48:], p.Transaction)
	if at == 0 { // a metadata snapshot has none
		le.PutUint64(s[64+16:], maps.dataIndex)
		le.PutUint64(s[64+24:], maps.counts)
		le.PutUint64(s[192+16:], maps.metaIndex)
		le.PutUint64(s[192+24:], maps.counts)
	}
	le.PutUint64(s[320:], mappings)
	le.PutUint64(s[328:], devices)
	le.PutUint32(s[336:], p.DataBlockSize)
	le.PutUint32(s[340:], block/512)
	le.PutUint64(s[344:], blocks)
	Seal(s, 160774)
	return s
}

// Seal puts the checksum of a block of a kind, named by its salt, into the block.
func Seal(b []byte, salt uint32) {
	binary.LittleEndian.PutUint32(b, ^crc32.Checksum(b[4:block], crc32.MakeTable(crc32.Castagnoli))^salt)
}

// tree builds a btree from the leaves up and gives its root.
func (b *builder) tree(keys []uint64, values [][]byte, valueSize, perLeaf int) uint64 {
	if len(keys) == 0 {
		return b.node(nil, nil, valueSize, true)
	}
	leaf := true
	for {
		var upKeys []uint64
		var upValues [][]byte
		for len(keys) > 0 {
			n := min(len(keys), perLeaf)
			at := b.node(keys[:n], values[:n], valueSize, leaf)
			upKeys, upValues = append(upKeys, keys[0]), append(upValues, le64(at))
			keys, values = keys[n:], values[n:]
		}
		if len(upKeys) == 1 {
			return binary.LittleEndian.Uint64(upValues[0])
		}
		keys, values, valueSize, perLeaf, leaf = upKeys, upValues, 8, 126, false
	}
}

func (b *builder) node(keys []uint64, values [][]byte, valueSize int, leaf bool) uint64 {
	n := make([]byte, block)
	le := binary.LittleEndian
	most := (block - header) / (8 + valueSize) / 3 * 3
	flags := uint32(1)
	if leaf {
		flags = 2
	}
	le.PutUint32(n[4:], flags)
	le.PutUint32(n[16:], uint32(len(keys)))
	le.PutUint32(n[20:], uint32(most))
	le.PutUint32(n[24:], uint32(valueSize))
	for i, k := range keys {
		le.PutUint64(n[header+8*i:], k)
		copy(n[header+8*most+valueSize*i:], values[i])
	}
	if at, ok := b.known[string(n)]; ok {
		return at
	}
	at := uint64(len(b.blocks))
	b.known[string(n)] = at
	le.PutUint64(n[8:], at)
	Seal(n, 121107)
	b.blocks = append(b.blocks, n)
	return at
}

func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
