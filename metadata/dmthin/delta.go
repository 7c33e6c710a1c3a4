package dmthin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Change says how a run of virtual blocks differs between two thin devices.
type Change string

// The ways in which two devices differ.
const (
	Added   Change = "added"   // only the second device maps it
	Removed Change = "removed" // only the first device maps it
	Changed Change = "changed" // each maps it to a data block of its own
)

// Range is a run of virtual blocks that differ in one way.
type Range struct {
	Change Change
	Start  DataBlocks
	Length DataBlocks
}

// Delta calls f with the runs of virtual blocks in which device b differs from
// device a, ascending. Two blocks are the same when they are the same data block.
// Tree nodes that both share are not read: the cost follows the difference.
func (m *Metadata) Delta(ctx context.Context, a, b ThinID, f func(Range) error) error {
	from, err := m.Device(ctx, a)
	if err != nil {
		return err
	}
	to, err := m.Device(ctx, b)
	if err != nil {
		return err
	}
	left, right, err := m.unshared(ctx, from.root, to.root)
	if err != nil {
		return err
	}
	var run Range
	emit := func(virtual DataBlocks, c Change) error {
		if run.Change == c && run.Start+run.Length == virtual {
			run.Length++
			return nil
		}
		if run.Length > 0 {
			if err := f(run); err != nil {
				return err
			}
		}
		run = Range{Change: c, Start: virtual, Length: 1}
		return nil
	}
	l, r := &leafReader{m: m, leaves: left}, &leafReader{m: m, leaves: right}
	p, okL, err := l.next(ctx)
	if err != nil {
		return err
	}
	q, okR, err := r.next(ctx)
	if err != nil {
		return err
	}
	for okL || okR {
		stepL, stepR := okL && (!okR || p.Virtual <= q.Virtual), okR && (!okL || q.Virtual <= p.Virtual)
		switch {
		case stepL && stepR && p.Data != q.Data:
			err = emit(p.Virtual, Changed)
		case stepL && !stepR:
			err = emit(p.Virtual, Removed)
		case stepR && !stepL:
			err = emit(q.Virtual, Added)
		}
		if err == nil && stepL {
			p, okL, err = l.next(ctx)
		}
		if err == nil && stepR {
			q, okR, err = r.next(ctx)
		}
		if err != nil {
			return err
		}
	}
	if run.Length > 0 {
		return f(run)
	}
	return nil
}

// unshared gives the leaves that only one of two trees has, in key order. Level by
// level from the top, nodes that both sides have are put aside: the same block
// holds the same mappings.
func (m *Metadata) unshared(ctx context.Context, a, b MetaBlocks) (left, right []branch, err error) {
	f := newForest(m)
	ha, err := f.height(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	hb, err := f.height(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	left, right = []branch{{a, everything}}, []branch{{b, everything}}
	for {
		if ha == hb {
			left, right = except(left, right)
		}
		if ha == 0 && hb == 0 {
			return left, right, nil
		}
		higher := max(ha, hb)
		if ha == higher {
			if left, err = m.descend(ctx, left); err != nil {
				return nil, nil, err
			}
			ha--
		}
		if hb == higher {
			if right, err = m.descend(ctx, right); err != nil {
				return nil, nil, err
			}
			hb--
		}
	}
}

func (m *Metadata) descend(ctx context.Context, level []branch) ([]branch, error) {
	if len(level) == 0 {
		return nil, nil
	}
	return m.expand(ctx, level, 8, func(_ int, n node) error {
		return fmt.Errorf("%w: block %d is a leaf above the tree's leaves", ErrCorrupt, n.at)
	})
}

func except(left, right []branch) (onlyLeft, onlyRight []branch) {
	in := make(map[MetaBlocks]bool, len(left))
	for _, b := range left {
		in[b.at] = true
	}
	both := map[MetaBlocks]bool{}
	for _, b := range right {
		if in[b.at] {
			both[b.at] = true
		} else {
			onlyRight = append(onlyRight, b)
		}
	}
	for _, b := range left {
		if !both[b.at] {
			onlyLeft = append(onlyLeft, b)
		}
	}
	return onlyLeft, onlyRight
}

// leafReader gives the mappings of leaves one by one and reads the leaves in
// batches.
type leafReader struct {
	m      *Metadata
	leaves []branch
	ready  []Mapping
}

func (r *leafReader) next(ctx context.Context) (Mapping, bool, error) {
	for len(r.ready) == 0 {
		if len(r.leaves) == 0 {
			return Mapping{}, false, nil
		}
		n := min(len(r.leaves), batch)
		var got []Mapping
		_, err := r.m.expand(ctx, r.leaves[:n], 8, func(_ int, leaf node) error {
			for i := range leaf.n {
				got = append(got, leaf.mapping(i))
			}
			return nil
		})
		if err != nil {
			return Mapping{}, false, err
		}
		slices.SortFunc(got, func(a, b Mapping) int { return cmp.Compare(a.Virtual, b.Virtual) })
		r.ready, r.leaves = got, r.leaves[n:]
	}
	p := r.ready[0]
	r.ready = r.ready[1:]
	return p, true, nil
}
