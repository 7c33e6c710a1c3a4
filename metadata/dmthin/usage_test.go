package dmthin_test

import (
	"bytes"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

// Devices of three levels that share nodes of each: what one overwrote at its end or
// in its middle is its own, and so is what the other had there.
func TestUsageOfSharedNodes(t *testing.T) {
	base := map[uint64]dmthintest.Mapping{}
	for i := range uint64(400) {
		base[i] = dmthintest.Mapping{Data: 100_000 + i*4096} // each in a page of its own
	}
	end, middle := maps.Clone(base), maps.Clone(base)
	end[399] = dmthintest.Mapping{Data: 1, Time: 1}
	end[400] = dmthintest.Mapping{Data: 2, Time: 1}
	middle[200] = dmthintest.Mapping{Data: 3, Time: 2}
	m, err := dmthin.Open(bytes.NewReader(dmthintest.Bytes(dmthintest.Pool{
		DataBlockSize: 128, LeafEntries: 1, Devices: map[dmthin.ThinID]dmthintest.Device{1: {Mappings: base}, 2: {Mappings: end}, 3: {Mappings: middle}},
	})))
	require.NoError(t, err)
	got, err := m.Usage(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []dmthin.Usage{{ID: 1, Mapped: 400}, {ID: 2, Mapped: 401, Exclusive: 2}, {ID: 3, Mapped: 400, Exclusive: 1}}, got)
	assert.EqualValues(t, 399, got[1].Shared())
	for _, c := range []struct {
		ids  []dmthin.ThinID
		want dmthin.DataBlocks
	}{
		{nil, 0}, {[]dmthin.ThinID{1}, 0}, {[]dmthin.ThinID{2}, 2}, {[]dmthin.ThinID{3}, 1}, {[]dmthin.ThinID{1, 2}, 3},
		{[]dmthin.ThinID{3, 1}, 2}, {[]dmthin.ThinID{3, 3}, 1}, {[]dmthin.ThinID{1, 2, 3}, 403},
	} {
		freed, err := m.Freed(t.Context(), c.ids...)
		require.NoError(t, err)
		assert.Equal(t, c.want, freed, "%v", c.ids)
	}
}

// Data blocks that are far apart and come in turns.
func TestUsageOfScatteredBlocks(t *testing.T) {
	d := map[uint64]dmthintest.Mapping{}
	for i := range uint64(1000) {
		d[i] = dmthintest.Mapping{Data: i%4*(1<<38) + i/4*64 + i%64} // no two the same
	}
	m, err := dmthin.Open(bytes.NewReader(dmthintest.Bytes(dmthintest.Pool{DataBlockSize: 128, Devices: map[dmthin.ThinID]dmthintest.Device{7: {Mappings: d}}})))
	require.NoError(t, err)
	got, err := m.Usage(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []dmthin.Usage{{ID: 7, Mapped: 1000, Exclusive: 1000}}, got)
}

// The memory that counting takes follows how far the blocks are spread: one page for
// 4096 neighbours, not one for each.
func TestCountingNeighboursAllocatesLittle(t *testing.T) {
	const blocks = 50_000
	d := map[uint64]dmthintest.Mapping{}
	for i := range uint64(blocks) {
		d[i] = dmthintest.Mapping{Data: i}
	}
	m, err := dmthin.Open(bytes.NewReader(dmthintest.Bytes(dmthintest.Pool{DataBlockSize: 128, Devices: map[dmthin.ThinID]dmthintest.Device{7: {Mappings: d}}})))
	require.NoError(t, err)
	allocations := testing.AllocsPerRun(1, func() {
		_, err := m.Freed(t.Context(), 7)
		assert.NoError(t, err)
	})
	assert.Less(t, allocations, float64(blocks/10))
}

// A node that two trees share is on one level in both, and within the keys that both
// parents allow.
func TestSharedNodesFitTheirParents(t *testing.T) {
	for name, test := range map[string]struct {
		second func(d disk) // the tree of device 2, at block 20
		want   string
	}{
		"as it should be": {func(d disk) { d.inner(20, entry{10, 11}, entry{31, 12}) }, ""},
		"another level": {func(d disk) {
			d.inner(20, entry{0, 21})
			d.inner(21, entry{0, 22})
			d.inner(22, entry{10, 13})
			d.leaf(13, entry{10, 0})
			d.inner(20, entry{0, 21}, entry{5, 11})
		}, "does not fit its parents"},
		"keys below the parent's":  {func(d disk) { d.inner(20, entry{11, 11}, entry{40, 12}) }, "does not fit its parents"},
		"keys above the parent's":  {func(d disk) { d.inner(20, entry{10, 11}, entry{30, 12}) }, "does not fit its parents"},
		"a leaf as an inner node":  {func(d disk) { d.inner(20, entry{10, 11}, entry{31, 15}) }, "block 15 is a leaf"},
		"an inner node as a leaf":  {func(d disk) { d.inner(20, entry{10, 15}, entry{31, 12}) }, "block 12 is a leaf and an internal node"},
		"one child twice":          {func(d disk) { d.inner(20, entry{10, 21}, entry{31, 21}); d.inner(21, entry{31, 16}) }, "block 21 is in one tree twice"},
		"leaf outside one parent":  {func(d disk) { d.inner(20, entry{10, 21}); d.inner(21, entry{12, 15}) }, "block 15: keys 10 to 10"},
		"leaf outside the other's": {func(d disk) { d.inner(20, entry{0, 21}); d.inner(21, entry{0, 15}, entry{5, 16}) }, "block 15: keys 10 to 10"},
	} {
		t.Run(name, func(t *testing.T) {
			d := disk{}
			d.superblock(1, 2)
			d.leaf(1, entry{1, 10}, entry{2, 20})
			d.details(2, entry{1, 3}, entry{2, 3})
			d.inner(10, entry{10, 11}, entry{40, 12})
			d.inner(11, entry{10, 15}, entry{30, 16})
			d.inner(12, entry{40, 17})
			d.leaf(15, entry{10, mapping(1, 0)})
			d.leaf(16, entry{31, mapping(2, 0)})
			d.leaf(17, entry{40, mapping(3, 0)})
			if name == "as it should be" {
				d.leaf(16, entry{30, mapping(2, 0)})
			}
			test.second(d)
			m := d.open(t)
			got, err := m.Usage(t.Context())
			if test.want == "" {
				require.NoError(t, err)
				assert.Equal(t, []dmthin.Usage{{ID: 1, Mapped: 3}, {ID: 2, Mapped: 3}}, got)
				return
			}
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// A device cannot have more blocks to itself than it says it maps.
func TestUsageBeyondWhatIsMapped(t *testing.T) {
	d := oneDevice(3, 2)
	d.leaf(3, entry{1, mapping(1, 0)}, entry{2, mapping(2, 0)})
	_, err := d.open(t).Usage(t.Context())
	require.NoError(t, err)
	d.details(2, entry{1, 1})
	_, err = d.open(t).Usage(t.Context())
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}
