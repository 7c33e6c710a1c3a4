package dmthin

import (
	"encoding/binary"
	"fmt"
)

// struct node_header of persistent-data/dm-btree-internal.h: csum, flags, blocknr
// u64, nr_entries, max_entries, value_size, padding; then keys, then values.
const (
	nodeHeader   = 32
	nodeInternal = 1
	nodeLeaf     = 2
	// maxDepth is the levels that a tree may have: far more than 2^64 keys need. It
	// bounds a walk through a cycle.
	maxDepth = 24
)

// node is a verified view of one tree block. It shares memory with the block.
type node struct {
	at     MetaBlocks
	leaf   bool
	n      int
	value  int // size of a value in bytes
	keys   []byte
	values []byte
}

// parseNode verifies a tree block. Internal nodes have 8-byte values; leaves have
// values of valueSize bytes.
func parseNode(b []byte, at MetaBlocks, valueSize int) (node, error) {
	le := binary.LittleEndian
	bad := func(format string, args ...any) (node, error) {
		return node{}, fmt.Errorf("%w: tree node at block %d: %s", ErrCorrupt, at, fmt.Sprintf(format, args...))
	}
	if le.Uint32(b) != checksum(b, saltNode) {
		return bad("checksum does not match")
	}
	if got := MetaBlocks(le.Uint64(b[8:])); got != at {
		return bad("says that it is block %d", got)
	}
	n := node{at: at, value: int(le.Uint32(b[24:]))}
	switch flags := le.Uint32(b[4:]); flags {
	case nodeInternal:
		if n.value != 8 {
			return bad("internal node with values of %d bytes", n.value)
		}
	case nodeLeaf:
		n.leaf = true
		if n.value != valueSize {
			return bad("leaf with values of %d bytes, where %d belong", n.value, valueSize)
		}
	default:
		return bad("flags %#x", flags)
	}
	entries, most := le.Uint32(b[16:]), le.Uint32(b[20:])
	if room := uint32(MetaBlockSize - nodeHeader); most == 0 || most > room/uint32(8+n.value) || entries > most {
		return bad("%d entries of at most %d", entries, most)
	}
	n.n = int(entries)
	if !n.leaf && n.n == 0 {
		return bad("internal node without entries")
	}
	n.keys = b[nodeHeader : nodeHeader+8*n.n]
	start := nodeHeader + 8*int(most)
	n.values = b[start : start+n.value*n.n]
	for i := 1; i < n.n; i++ {
		if n.key(i) <= n.key(i-1) {
			return bad("key %d after %d", n.key(i), n.key(i-1))
		}
	}
	return n, nil
}

func (n node) key(i int) uint64 { return binary.LittleEndian.Uint64(n.keys[8*i:]) }

func (n node) uint64(i int) uint64 { return binary.LittleEndian.Uint64(n.values[n.value*i:]) }

func (n node) bytes(i int) []byte { return n.values[n.value*i : n.value*(i+1)] }

// span is the keys that a node may hold: from low to high, both included.
type span struct{ low, high uint64 }

var everything = span{0, ^uint64(0)}

func (s span) and(t span) span { return span{max(s.low, t.low), min(s.high, t.high)} }

func (n node) within(s span) error {
	if n.n > 0 && (n.key(0) < s.low || n.key(n.n-1) > s.high) {
		return fmt.Errorf("%w: tree node at block %d: keys %d to %d, where its parent has %d to %d",
			ErrCorrupt, n.at, n.key(0), n.key(n.n-1), s.low, s.high)
	}
	return nil
}

// child is the span of the i-th child of an internal node that has span s.
func (n node) child(i int, s span) span {
	c := span{n.key(i), s.high}
	if i+1 < n.n {
		c.high = n.key(i+1) - 1
	}
	return c
}

// Mapping is where one virtual block is.
type Mapping struct {
	Virtual DataBlocks
	Data    DataBlocks
	Time    uint32 // snapshot time when it was made, 24 bits
}

func (n node) mapping(i int) Mapping {
	v := n.uint64(i)
	return Mapping{Virtual: DataBlocks(n.key(i)), Data: DataBlocks(v >> 24), Time: uint32(v & MaxTime)}
}
