package dmthin

import (
	"context"
	"fmt"
)

// branch is a node that is yet to be read, with the keys it may hold.
type branch struct {
	at   MetaBlocks
	keys span
}

// expand reads the nodes of one level of a tree and gives their children, in key
// order when the branches are. Leaves are handed to leaf instead, in the order of
// the device. All branches must be on the same level: nodes of both kinds among
// them are an error.
func (m *Metadata) expand(ctx context.Context, level []branch, valueSize int, leaf func(i int, n node) error) (children []branch, err error) {
	blocks := make([]MetaBlocks, len(level))
	for i, b := range level {
		blocks[i] = b.at
	}
	below := make([][]branch, len(level))
	leaves, internals := 0, 0
	err = m.read(ctx, blocks, func(i int, b []byte) error {
		n, err := parseNode(b, level[i].at, valueSize)
		if err != nil {
			return err
		}
		if err := n.within(level[i].keys); err != nil {
			return err
		}
		if n.leaf {
			leaves++
			return leaf(i, n)
		}
		internals++
		below[i] = make([]branch, n.n)
		for j := range n.n {
			below[i][j] = branch{at: MetaBlocks(n.uint64(j)), keys: n.child(j, level[i].keys)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if leaves > 0 && internals > 0 {
		return nil, fmt.Errorf("%w: a tree has leaves and internal nodes on one level, at block %d", ErrCorrupt, level[0].at)
	}
	for _, c := range below {
		children = append(children, c...)
	}
	return children, nil
}

// batch is how many nodes of a level are expanded at once. It bounds the memory
// of a walk: depth x batch x fan-out branches.
const batch = 512

// walk visits every leaf of a tree in key order.
func (m *Metadata) walk(ctx context.Context, root MetaBlocks, valueSize int, visit func(n node) error) error {
	return m.walkLevel(ctx, []branch{{root, everything}}, valueSize, 0, visit)
}

func (m *Metadata) walkLevel(ctx context.Context, level []branch, valueSize, depth int, visit func(n node) error) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: a tree is deeper than %d levels, at block %d", ErrCorrupt, maxDepth, level[0].at)
	}
	for len(level) > 0 {
		n := min(len(level), batch)
		// Leaves arrive in device order and must leave in key order.
		kept := make(map[int]node, n)
		children, err := m.expand(ctx, level[:n], valueSize, func(i int, leaf node) error {
			leaf.keys = append([]byte(nil), leaf.keys...)
			leaf.values = append([]byte(nil), leaf.values...)
			kept[i] = leaf
			return nil
		})
		if err != nil {
			return err
		}
		for i := range n {
			if leaf, ok := kept[i]; ok {
				if err := visit(leaf); err != nil {
					return err
				}
			}
		}
		if len(children) > 0 {
			if err := m.walkLevel(ctx, children, valueSize, depth+1, visit); err != nil {
				return err
			}
		}
		level = level[n:]
	}
	return nil
}
