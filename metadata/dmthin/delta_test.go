package dmthin_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Ranges are as long as they can be: where one ends, the next has another kind of
// change or a gap before it.
func TestRangesOfADelta(t *testing.T) {
	const added, removed, changed = dmthin.Added, dmthin.Removed, dmthin.Changed
	for name, test := range map[string]struct {
		from, to []entry
		want     []dmthin.Range
	}{
		"two that map nothing": {nil, nil, nil},
		"the same mappings":    {[]entry{{0, mapping(9, 0)}, {4, mapping(8, 0)}}, []entry{{0, mapping(9, 0)}, {4, mapping(8, 0)}, {5, mapping(1, 0)}}, []dmthin.Range{{added, 5, 1}}},
		"another time":         {[]entry{{0, mapping(9, 0)}}, []entry{{0, mapping(9, 1)}}, nil},
		"from zero":            {nil, []entry{{0, mapping(9, 0)}, {1, mapping(3, 0)}, {2, mapping(1, 0)}}, []dmthin.Range{{added, 0, 3}}},
		"a gap":                {nil, []entry{{3, mapping(9, 0)}, {5, mapping(3, 0)}}, []dmthin.Range{{added, 3, 1}, {added, 5, 1}}},
		"removed":              {[]entry{{3, mapping(9, 0)}, {4, mapping(3, 0)}}, nil, []dmthin.Range{{removed, 3, 2}}},
		"all kinds in a row": {
			[]entry{{3, mapping(1, 0)}, {4, mapping(2, 0)}, {5, mapping(3, 0)}, {6, mapping(4, 0)}},
			[]entry{{1, mapping(7, 0)}, {2, mapping(8, 0)}, {3, mapping(9, 0)}, {4, mapping(10, 0)}, {7, mapping(11, 0)}},
			[]dmthin.Range{{added, 1, 2}, {changed, 3, 2}, {removed, 5, 2}, {added, 7, 1}},
		},
		"changed, with one between": {
			[]entry{{3, mapping(1, 0)}, {4, mapping(2, 0)}, {5, mapping(3, 0)}},
			[]entry{{3, mapping(4, 0)}, {4, mapping(2, 0)}, {5, mapping(6, 0)}},
			[]dmthin.Range{{changed, 3, 1}, {changed, 5, 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := disk{}
			d.superblock(1, 2)
			d.leaf(1, entry{1, 3}, entry{2, 4})
			d.details(2, entry{1, uint64(len(test.from))}, entry{2, uint64(len(test.to))})
			d.leaf(3, test.from...)
			d.leaf(4, test.to...)
			var got []dmthin.Range
			require.NoError(t, d.open(t).Delta(t.Context(), 1, 2, func(r dmthin.Range) error { got = append(got, r); return nil }))
			assert.Equal(t, test.want, got)
		})
	}
}

// Trees of different heights are compared from where they are as high as each other,
// and what both have is not read, even when it cannot be.
func TestDeltaOfTreesOfDifferentHeights(t *testing.T) {
	d := disk{}
	d.superblock(1, 2)
	d.leaf(1, entry{1, 10}, entry{2, 20}, entry{3, 30})
	d.details(2, entry{1, 3}, entry{2, 1}, entry{3, 0})
	d.inner(10, entry{0, 11}, entry{5, 12})
	d.inner(11, entry{0, 13}, entry{3, 14})
	d.inner(12, entry{5, 15})
	d.inner(20, entry{0, 13}, entry{3, 16})
	d.leaf(13, entry{0, mapping(1, 0)})
	d.leaf(14, entry{3, mapping(2, 0)})
	d.leaf(15, entry{6, mapping(3, 0)})
	d.leaf(16, entry{3, mapping(4, 0)})
	d.leaf(30)
	for _, c := range []struct {
		a, b dmthin.ThinID
		want []dmthin.Range
	}{
		{1, 2, []dmthin.Range{{dmthin.Changed, 3, 1}, {dmthin.Removed, 6, 1}}},
		{2, 1, []dmthin.Range{{dmthin.Changed, 3, 1}, {dmthin.Added, 6, 1}}},
		{3, 1, []dmthin.Range{{dmthin.Added, 0, 1}, {dmthin.Added, 3, 1}, {dmthin.Added, 6, 1}}},
		{2, 3, []dmthin.Range{{dmthin.Removed, 0, 1}, {dmthin.Removed, 3, 1}}},
	} {
		var got []dmthin.Range
		require.NoError(t, d.open(t).Delta(t.Context(), c.a, c.b, func(r dmthin.Range) error { got = append(got, r); return nil }))
		assert.Equal(t, c.want, got, "from %d to %d", c.a, c.b)
	}

	// The height of a tree is that of its first path. A leaf above the others is
	// found when it is read.
	d.leaf(12, entry{5, 0})
	err := d.open(t).Delta(t.Context(), 1, 2, func(dmthin.Range) error { return nil })
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}

func TestDeltaOfAbsentDevices(t *testing.T) {
	d := oneDevice(3, 0)
	d.leaf(3)
	m := d.open(t)
	for _, ids := range [][2]dmthin.ThinID{{1, 2}, {2, 1}} {
		err := m.Delta(t.Context(), ids[0], ids[1], func(dmthin.Range) error { return nil })
		require.ErrorIs(t, err, dmthin.ErrNoDevice)
	}
}
