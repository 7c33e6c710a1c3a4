package dmthin_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// found salvages a disk whose block 0 is lost and gives the roots that were taken.
func found(t *testing.T, d disk, want ...dmthin.ThinID) (mappings, details uint64, err error) {
	t.Helper()
	d[0] = make([]byte, dmthin.MetaBlockSize)
	r := d.reader()
	sb, err := dmthin.Salvage(t.Context(), r, dmthin.MetaBlocks(r.Size()/dmthin.MetaBlockSize), 128, 1000, want)
	if err != nil {
		return 0, 0, err
	}
	s, err := dmthin.ParseSuperblock(sb, 0)
	require.NoError(t, err)
	return uint64(s.Mappings), uint64(s.Details), nil
}

// A generation is the two trees of devices at some moment. The kernel writes to new
// blocks, so that older ones stay on the device until their blocks are needed.
type generation func(d disk, mappings, details, free uint64)

// Whichever generation comes first on the device, the same one is taken.
func TestSalvageTakesTheRightGeneration(t *testing.T) {
	// devices makes a generation of thin devices with so many mapped blocks each.
	devices := func(time uint32, blockTime uint32, mapped ...int) generation {
		return func(d disk, mappings, details, free uint64) {
			var roots, counts []entry
			for i, n := range mapped {
				var blocks []entry
				for b := range uint64(n) {
					blocks = append(blocks, entry{b, mapping(1<<30+b, blockTime)})
				}
				d.leaf(free+uint64(i), blocks...)
				roots, counts = append(roots, entry{uint64(i + 1), free + uint64(i)}), append(counts, entry{uint64(i + 1), uint64(n)})
			}
			d.leaf(mappings, roots...)
			d.detailsAt(details, time, counts...)
		}
	}
	// lies makes one whose details do not agree with its mappings.
	lies := func(time uint32, says uint64, maps int) generation {
		return func(d disk, mappings, details, free uint64) {
			devices(time, 9, maps)(d, mappings, details, free)
			d.detailsAt(details, time, entry{1, says})
		}
	}
	// unreadable makes one whose device maps nothing and has a damaged root.
	unreadable := func(d disk, mappings, details, free uint64) {
		devices(9, 9, 0)(d, mappings, details, free)
		d[free][100] ^= 1
	}
	// foreign makes one of the device 3 instead of 1.
	foreign := func(d disk, mappings, details, free uint64) {
		devices(9, 9, 2)(d, mappings, details, free)
		d.leaf(mappings, entry{3, free})
		d.detailsAt(details, 9, entry{3, 2})
	}
	for name, test := range map[string]struct {
		right, wrong generation
		want         []dmthin.ThinID
	}{
		"a device is missing":          {devices(1, 0, 2, 2), devices(9, 9, 2), []dmthin.ThinID{1, 2}},
		"a device is too many":         {devices(1, 0, 2), devices(9, 9, 2, 2), []dmthin.ThinID{1}},
		"another device":               {devices(1, 0, 2), foreign, []dmthin.ThinID{1}},
		"details that say more":        {devices(1, 0, 2), lies(9, 7, 3), []dmthin.ThinID{1}},
		"details that say less":        {devices(1, 0, 2), lies(9, 1, 3), []dmthin.ThinID{1}},
		"a root that is damaged":       {devices(1, 0, 2), unreadable, []dmthin.ThinID{1}},
		"a later snapshot":             {devices(2, 0, 1), devices(1, 9, 5), []dmthin.ThinID{1}},
		"blocks of a later time":       {devices(3, 2, 2), devices(3, 1, 3), []dmthin.ThinID{1}},
		"more blocks of a later time":  {devices(3, 2, 2), devices(3, 2, 1), []dmthin.ThinID{1}},
		"times of all devices counted": {devices(3, 2, 1, 5), devices(3, 2, 5, 0), []dmthin.ThinID{1, 2}},
		"the first device counts too":  {devices(3, 2, 5, 1), devices(3, 2, 1, 4), []dmthin.ThinID{1, 2}},
		"more blocks of no time":       {devices(3, 0, 1, 5), devices(3, 0, 5, 0), []dmthin.ThinID{1, 2}},
		"the first one's blocks too":   {devices(3, 0, 5, 1), devices(3, 0, 1, 4), []dmthin.ThinID{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			d := disk{}
			test.right(d, 1, 2, 3)
			test.wrong(d, 11, 12, 13)
			mappings, details, err := found(t, d, test.want...)
			require.NoError(t, err)
			assert.Equal(t, [2]uint64{1, 2}, [2]uint64{mappings, details}, "the right one first")

			d = disk{}
			test.wrong(d, 1, 2, 3)
			test.right(d, 11, 12, 13)
			mappings, details, err = found(t, d, test.want...)
			require.NoError(t, err)
			assert.Equal(t, [2]uint64{11, 12}, [2]uint64{mappings, details}, "the right one last")
		})
	}
	t.Run("equal ones", func(t *testing.T) {
		d := disk{}
		devices(3, 1, 1)(d, 1, 2, 3)
		devices(3, 1, 1)(d, 11, 12, 13)
		mappings, details, err := found(t, d, 1)
		require.NoError(t, err)
		assert.Equal(t, [2]uint64{1, 2}, [2]uint64{mappings, details})
	})
}

// Trees of devices of two levels have inner nodes for roots.
func TestSalvageOfTreesWithInnerRoots(t *testing.T) {
	d := disk{}
	d.inner(1, entry{1, 3}, entry{7, 4})
	d.inner(2, entry{1, 5}, entry{7, 6})
	d.leaf(3, entry{1, 8})
	d.leaf(4, entry{7, 9}, entry{uint64(dmthin.MaxThinID), 9})
	d.details(5, entry{1, 1})
	d.details(6, entry{7, 0}, entry{uint64(dmthin.MaxThinID), 0})
	d.leaf(8, entry{0, mapping(1<<30, 0)})
	d.leaf(9)
	mappings, details, err := found(t, d, 1, 7, dmthin.MaxThinID)
	require.NoError(t, err)
	assert.Equal(t, [2]uint64{1, 2}, [2]uint64{mappings, details})
}

// What cannot be a tree of devices is no answer, even when there is no other.
func TestSalvageTakesNoOtherTrees(t *testing.T) {
	for name, change := range map[string]func(d disk){
		"details of an id of 25 bits":   func(d disk) { d.details(2, entry{1 << 24, 1}) },
		"mappings of an id of 25 bits":  func(d disk) { d.leaf(1, entry{1 << 24, 3}) },
		"a device whose root is 0":      func(d disk) { d.leaf(1, entry{1, 0}) },
		"a device whose root is beyond": func(d disk) { d.leaf(1, entry{1, 4}) },
		"no devices in either":          func(d disk) { d.leaf(1); d.details(2) },
		"no details":                    func(d disk) { d.node(2, 2, 4, []uint64{1}, [][]byte{{1, 0, 0, 0}}) },
		"details of other sizes":        func(d disk) { d.change(2, saltNode, func(b []byte) { put32(b, 24, 1<<32-8) }) },
		"damaged mappings":              func(d disk) { d[1][100] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			d := disk{}
			d.leaf(1, entry{1, 3})
			d.details(2, entry{1, 1})
			d.leaf(3, entry{0, mapping(1<<30, 0)})
			_, _, err := found(t, d, 1)
			require.NoError(t, err)
			change(d)
			_, _, err = found(t, d, 1)
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
		})
	}
	_, _, err := found(t, disk{}, 1)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
	_, err = dmthin.Salvage(t.Context(), disk{}.reader(), 0, 128, 1000, nil)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}
