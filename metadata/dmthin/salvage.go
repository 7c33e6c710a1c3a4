package dmthin

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Salvage gives a superblock for metadata whose own is lost. A superblock with one
// flipped bit is mended. Otherwise the trees' roots are looked for among all blocks,
// where older ones stand too: of those whose mappings agree with the details of their
// devices, the pair is taken that has the thin devices that should be there, and of
// several the youngest. What a superblock says beside the roots is given.
//
// The space maps are not looked for: thin_repair makes new ones.
func Salvage(ctx context.Context, r io.ReaderAt, blocks MetaBlocks, blockSize uint32, data DataBlocks, want []ThinID) ([]byte, error) {
	first := make([]byte, MetaBlockSize)
	if _, err := r.ReadAt(first, 0); err == nil && mendBit(first) {
		return first, nil
	}
	s := salvage{m: &Metadata{r: r, sb: Superblock{DataBlockSize: blockSize}}, blocks: blocks, counts: map[MetaBlocks]content{}}
	if err := s.scan(ctx); err != nil {
		return nil, err
	}
	best, found := s.best(ctx, want)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%w: the superblock is damaged, and no trees are left that agree with each other", ErrCorrupt)
	}
	return s.superblock(best, data), nil
}

// mendBit finds the one bit that a superblock's checksum is wrong by.
func mendBit(b []byte) bool {
	for at := range MetaBlockSize {
		for bit := range 8 {
			b[at] ^= 1 << bit
			if IsSuperblock(b) {
				if _, err := ParseSuperblock(b, 0); err == nil {
					return true
				}
			}
			b[at] ^= 1 << bit
		}
	}
	return false
}

type salvage struct {
	m        *Metadata
	blocks   MetaBlocks
	details  []foundTree
	mappings []foundTree
	counts   map[MetaBlocks]content // below a device's root
}

// content is what a device's tree maps. times is the sum of the mappings' times: of
// two states of a device that was written to, the younger one has more.
type content struct {
	mapped DataBlocks
	times  uint64
	bad    bool
}

// foundTree is a block that may be the root of one of the two trees of devices.
type foundTree struct {
	root    MetaBlocks
	devices map[ThinID]Device // of details: all; of mappings: the roots
	time    uint32
}

// scan looks at every block for what may be a root.
func (s *salvage) scan(ctx context.Context) error {
	var leaves8, leaves24, inner []MetaBlocks
	var all []MetaBlocks
	for n := MetaBlocks(1); n < s.blocks; n++ {
		all = append(all, n)
	}
	err := s.m.read(ctx, all, func(i int, b []byte) error {
		n := all[i]
		size := int(binary.LittleEndian.Uint32(b[24:]))
		if size != 8 && size != detailsSize {
			return nil
		}
		node, err := parseNode(b, n, size)
		switch {
		case err != nil || node.n == 0: // an empty tree would be the answer to any loss
		case !node.leaf:
			inner = append(inner, n)
		case size == 8:
			leaves8 = append(leaves8, n)
		default:
			leaves24 = append(leaves24, n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range slices.Concat(leaves24, inner) {
		if t, ok := s.readDetails(ctx, n); ok {
			s.details = append(s.details, t)
		}
	}
	for _, n := range slices.Concat(leaves8, inner) {
		if t, ok := s.readRoots(ctx, n); ok {
			s.mappings = append(s.mappings, t)
		}
	}
	return nil
}

func (s *salvage) readDetails(ctx context.Context, root MetaBlocks) (foundTree, bool) {
	t := foundTree{root: root, devices: map[ThinID]Device{}}
	le := binary.LittleEndian
	err := s.m.walk(ctx, root, detailsSize, func(n node) error {
		for i := range n.n {
			if n.key(i) > uint64(MaxThinID) {
				return ErrCorrupt
			}
			v := n.bytes(i)
			d := Device{ID: ThinID(n.key(i)), Mapped: DataBlocks(le.Uint64(v)), Created: le.Uint32(v[16:]), Snapshotted: le.Uint32(v[20:])}
			t.devices[d.ID] = d
			t.time = max(t.time, d.Created, d.Snapshotted)
		}
		return nil
	})
	return t, err == nil
}

// readRoots reads a tree whose values are blocks. Values of mappings are not: they
// begin with the number of a data block, 24 bits further up.
func (s *salvage) readRoots(ctx context.Context, root MetaBlocks) (foundTree, bool) {
	t := foundTree{root: root, devices: map[ThinID]Device{}}
	err := s.m.walk(ctx, root, 8, func(n node) error {
		for i := range n.n {
			at := MetaBlocks(n.uint64(i))
			if n.key(i) > uint64(MaxThinID) || at == 0 || at >= s.blocks {
				return ErrCorrupt
			}
			t.devices[ThinID(n.key(i))] = Device{root: at}
		}
		return nil
	})
	return t, err == nil
}

// below counts what is mapped below a device's root.
func (s *salvage) below(ctx context.Context, root MetaBlocks) content {
	if c, ok := s.counts[root]; ok {
		return c
	}
	var c content
	err := s.m.walk(ctx, root, 8, func(leaf node) error {
		for i := range leaf.n {
			c.mapped++
			c.times += uint64(leaf.mapping(i).Time)
		}
		return nil
	})
	c.bad = err != nil
	s.counts[root] = c
	return c
}

// trees is a pair of roots that belong together.
type trees struct {
	details, mappings foundTree
	wrong             int // devices that do not agree, are missing or too many
	content
}

func (s *salvage) best(ctx context.Context, want []ThinID) (best trees, found bool) {
	for _, details := range s.details {
		for _, mappings := range s.mappings {
			if len(details.devices) != len(mappings.devices) {
				continue
			}
			t := trees{details: details, mappings: mappings}
			for id, d := range details.devices {
				c := s.below(ctx, mappings.devices[id].root) // 0 when it has none, where no node is
				if c.bad || c.mapped != d.Mapped {
					t.wrong++
				}
				t.mapped += d.Mapped
				t.times += c.times
				if !slices.Contains(want, id) {
					t.wrong++
				}
			}
			for _, id := range want {
				if _, ok := details.devices[id]; !ok {
					t.wrong++
				}
			}
			if !found || t.better(best) {
				best, found = t, true
			}
		}
	}
	return best, found
}

func (t trees) better(than trees) bool {
	return cmp.Or(cmp.Compare(than.wrong, t.wrong), cmp.Compare(t.details.time, than.details.time),
		cmp.Compare(t.times, than.times), cmp.Compare(t.mapped, than.mapped)) > 0
}

// superblock writes struct thin_disk_superblock for a pair of roots.
func (s *salvage) superblock(t trees, data DataBlocks) []byte {
	b := make([]byte, MetaBlockSize)
	le := binary.LittleEndian
	le.PutUint64(b[32:], superblockMagic)
	le.PutUint32(b[40:], 2)
	le.PutUint32(b[44:], t.details.time)
	le.PutUint64(b[64:], uint64(data))
	le.PutUint64(b[192:], uint64(s.blocks))
	le.PutUint64(b[320:], uint64(t.mappings.root))
	le.PutUint64(b[328:], uint64(t.details.root))
	le.PutUint32(b[336:], s.m.sb.DataBlockSize)
	le.PutUint32(b[340:], MetaBlockSize/512)
	le.PutUint64(b[344:], uint64(s.blocks))
	le.PutUint32(b, checksum(b, saltSuperblock))
	return b
}
