package dmthin

import (
	"context"
	"fmt"
	"slices"
)

// Usage is the data blocks of one thin device.
type Usage struct {
	ID        ThinID
	Mapped    DataBlocks // all that it can reach
	Exclusive DataBlocks // those that no other device reaches: deleting it frees them
}

// Shared is the blocks that other devices reach too.
func (u Usage) Shared() DataBlocks { return u.Mapped - u.Exclusive }

// Usage counts for every thin device what it has mapped and what it has to itself,
// in the order of their ids. Every distinct tree node is read once.
func (m *Metadata) Usage(ctx context.Context) ([]Usage, error) {
	devices, err := m.Devices(ctx)
	if err != nil {
		return nil, err
	}
	f := newForest(m)
	for _, d := range devices {
		if err := f.plant(ctx, d.root); err != nil {
			return nil, fmt.Errorf("mappings of thin device %d: %w", d.ID, err)
		}
	}
	// A node belongs to a device when every node on the way to it does.
	owner := map[MetaBlocks]int{}
	for i, d := range devices {
		f.own(d.root, i, owner)
	}
	seen, twice := newBitmap(), newBitmap()
	mine := make([]*bitmap, len(devices))
	for i := range mine {
		mine[i] = newBitmap()
	}
	err = f.readLeaves(ctx, func(at MetaBlocks, n node) error {
		dev, owned := owner[at]
		for i := range n.n {
			b := n.mapping(i).Data
			if seen.add(b) {
				twice.add(b)
			} else if owned {
				mine[dev].add(b)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	usage := make([]Usage, len(devices))
	for i, d := range devices {
		usage[i] = Usage{ID: d.ID, Mapped: d.Mapped, Exclusive: mine[i].countWithout(twice)}
		if usage[i].Exclusive > usage[i].Mapped {
			return nil, fmt.Errorf("%w: thin device %d has %d blocks to itself and %d in all", ErrCorrupt, d.ID, usage[i].Exclusive, d.Mapped)
		}
	}
	return usage, nil
}

// Freed is how many data blocks would be free again if all of these thin devices
// were deleted. Blocks that only they share among themselves count.
func (m *Metadata) Freed(ctx context.Context, ids ...ThinID) (DataBlocks, error) {
	devices, err := m.Devices(ctx)
	if err != nil {
		return 0, err
	}
	keep, drop := newForest(m), newForest(m)
	found := 0
	for _, d := range devices {
		f := keep
		if slices.Contains(ids, d.ID) {
			f = drop
			found++
		}
		if err := f.plant(ctx, d.root); err != nil {
			return 0, fmt.Errorf("mappings of thin device %d: %w", d.ID, err)
		}
	}
	slices.Sort(ids)
	if found != len(slices.Compact(ids)) {
		return 0, fmt.Errorf("%w: one of ids %v", ErrNoDevice, ids)
	}
	kept, dropped := newBitmap(), newBitmap()
	if err := keep.readLeaves(ctx, func(_ MetaBlocks, n node) error {
		for i := range n.n {
			kept.add(n.mapping(i).Data)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	for at := range keep.leaves {
		delete(drop.leaves, at) // known to hold nothing that would be freed
	}
	if err := drop.readLeaves(ctx, func(_ MetaBlocks, n node) error {
		for i := range n.n {
			dropped.add(n.mapping(i).Data)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	return dropped.countWithout(kept), nil
}

// forest is the internal nodes of many devices' trees, each read once, and where
// their leaves are.
type forest struct {
	m      *Metadata
	inner  map[MetaBlocks]inner
	leaves map[MetaBlocks]span // the keys that every parent allows
	refs   map[MetaBlocks]int  // how many parents point at a node, roots included
}

type inner struct {
	children    []MetaBlocks
	first, last uint64
	height      int // 1: its children are leaves
}

func newForest(m *Metadata) *forest {
	return &forest{m: m, inner: map[MetaBlocks]inner{}, leaves: map[MetaBlocks]span{}, refs: map[MetaBlocks]int{}}
}

// plant adds the tree of one device. What is in the forest already is not read again.
func (f *forest) plant(ctx context.Context, root MetaBlocks) error {
	height, err := f.height(ctx, root)
	if err != nil {
		return err
	}
	level := []branch{{root, everything}}
	for ; len(level) > 0; height-- {
		var unread []branch
		for _, b := range level {
			f.refs[b.at]++
			if height == 0 {
				if err := f.addLeaf(b); err != nil {
					return err
				}
				continue
			}
			if _, isLeaf := f.leaves[b.at]; isLeaf {
				return fmt.Errorf("%w: block %d is a leaf and an internal node", ErrCorrupt, b.at)
			}
			if have, ok := f.inner[b.at]; !ok {
				if f.refs[b.at] > 1 {
					return fmt.Errorf("%w: tree node at block %d is in one tree twice", ErrCorrupt, b.at)
				}
				unread = append(unread, b)
			} else if have.height != height || have.first < b.keys.low || have.last > b.keys.high {
				return fmt.Errorf("%w: tree node at block %d does not fit its parents", ErrCorrupt, b.at)
			}
		}
		level, err = f.readInner(ctx, unread, height)
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *forest) addLeaf(b branch) error {
	if _, isInner := f.inner[b.at]; isInner {
		return fmt.Errorf("%w: block %d is a leaf and an internal node", ErrCorrupt, b.at)
	}
	if have, ok := f.leaves[b.at]; ok {
		b.keys = b.keys.and(have)
	}
	f.leaves[b.at] = b.keys
	return nil
}

// readInner reads internal nodes that are new to the forest and gives their children.
func (f *forest) readInner(ctx context.Context, level []branch, height int) ([]branch, error) {
	if len(level) == 0 {
		return nil, nil
	}
	blocks := make([]MetaBlocks, len(level))
	for i, b := range level {
		blocks[i] = b.at
	}
	var children []branch
	err := f.m.read(ctx, blocks, func(i int, b []byte) error {
		n, err := parseNode(b, level[i].at, 8)
		if err != nil {
			return err
		}
		if err := n.within(level[i].keys); err != nil {
			return err
		}
		if n.leaf {
			return fmt.Errorf("%w: block %d is a leaf above the tree's leaves", ErrCorrupt, n.at)
		}
		kept := inner{children: make([]MetaBlocks, n.n), first: n.key(0), last: n.key(n.n - 1), height: height}
		for j := range n.n {
			kept.children[j] = MetaBlocks(n.uint64(j))
			children = append(children, branch{kept.children[j], n.child(j, level[i].keys)})
		}
		f.inner[n.at] = kept
		return nil
	})
	return children, err
}

// height counts the levels above a tree's leaves along its first path.
func (f *forest) height(ctx context.Context, at MetaBlocks) (int, error) {
	for h := range maxDepth {
		if have, ok := f.inner[at]; ok {
			return h + have.height, nil
		}
		if _, ok := f.leaves[at]; ok {
			return h, nil
		}
		leaf := false
		err := f.m.read(ctx, []MetaBlocks{at}, func(_ int, b []byte) error {
			n, err := parseNode(b, at, 8)
			if err != nil {
				return err
			}
			if leaf = n.leaf; !leaf {
				at = MetaBlocks(n.uint64(0))
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		if leaf {
			return h, nil
		}
	}
	return 0, fmt.Errorf("%w: a tree is deeper than %d levels, at block %d", ErrCorrupt, maxDepth, at)
}

// own gives a device every node that only it can reach.
func (f *forest) own(at MetaBlocks, device int, owner map[MetaBlocks]int) {
	if f.refs[at] != 1 {
		return
	}
	owner[at] = device
	for _, c := range f.inner[at].children {
		f.own(c, device, owner)
	}
}

// readLeaves reads every leaf once, in device order.
func (f *forest) readLeaves(ctx context.Context, visit func(at MetaBlocks, n node) error) error {
	blocks := make([]MetaBlocks, 0, len(f.leaves))
	for at := range f.leaves {
		blocks = append(blocks, at)
	}
	return f.m.read(ctx, blocks, func(i int, b []byte) error {
		n, err := parseNode(b, blocks[i], 8)
		if err != nil {
			return err
		}
		if !n.leaf {
			return fmt.Errorf("%w: block %d is an internal node where leaves are", ErrCorrupt, n.at)
		}
		if err := n.within(f.leaves[n.at]); err != nil {
			return err
		}
		return visit(n.at, n)
	})
}
