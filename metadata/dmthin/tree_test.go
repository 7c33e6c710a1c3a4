package dmthin_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Every way to read a tree takes 24 levels and no more.
func TestTreesHave24Levels(t *testing.T) {
	questions := map[string]func(m *dmthin.Metadata) error{
		"Mappings": func(m *dmthin.Metadata) error { _, err := mappings(t, m, 1); return err },
		"Usage":    func(m *dmthin.Metadata) error { _, err := m.Usage(t.Context()); return err },
		"Delta": func(m *dmthin.Metadata) error {
			return m.Delta(t.Context(), 1, 1, func(dmthin.Range) error { return nil })
		},
	}
	for name, ask := range questions {
		for inners, want := range map[int]error{23: nil, 24: dmthin.ErrCorrupt} {
			d := oneDevice(10, 1)
			d.chain(10, inners, 50)
			d.leaf(50, entry{7, mapping(1, 0)})
			require.ErrorIs(t, ask(d.open(t)), want, "%s, %d levels", name, inners+1)
		}
	}
	for inners, lost := range map[int]int{23: 0, 24: 1} {
		d := oneDevice(10, 1)
		d.chain(10, inners, 50)
		d.leaf(50, entry{7, mapping(1, 0)})
		got, err := d.open(t).Dump(t.Context(), io.Discard, 1)
		require.NoError(t, err)
		assert.Equal(t, lost, got, "%d levels", inners+1)
	}
	for inners, want := range map[int]error{23: nil, 24: dmthin.ErrCorrupt} {
		d := disk{}
		d.superblock(10, 50)
		d.chain(10, inners, 51)
		d.details(50, entry{7, 0})
		d.leaf(51, entry{7, 52})
		d.leaf(52)
		_, err := d.open(t).Device(t.Context(), 7)
		require.ErrorIs(t, err, want, "%d levels", inners+1)
	}
}

// A node that is its own child, in a tree that is read as a whole.
func TestCyclesEnd(t *testing.T) {
	d := disk{}
	d.superblock(1, 2)
	d.leaf(1, entry{1, 3})
	d.inner(2, entry{1, 2})
	d.inner(3, entry{0, 3})
	m := d.open(t)
	_, err := m.Devices(t.Context())
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
	_, err = m.Device(t.Context(), 1)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)

	d.details(2, entry{1, 0})
	lost, err := d.open(t).Dump(t.Context(), io.Discard, 1)
	require.NoError(t, err)
	assert.Equal(t, 1, lost)
}

func TestLeavesAreOnOneLevel(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		d := disk{}
		d.superblock(1, 2)
		d.leaf(1, entry{1, 9}, entry{2, 9})
		d.inner(2, entry{1, 3}, entry{2, 4})
		d.details(3, entry{1, 0})
		d.inner(4, entry{2, 5})
		if swapped {
			d.inner(3, entry{1, 5})
			d.details(4, entry{2, 0})
		}
		d.details(5)
		d.leaf(9)
		_, err := d.open(t).Devices(t.Context())
		require.ErrorIs(t, err, dmthin.ErrCorrupt)
		assert.ErrorContains(t, err, "on one level")
	}
}

// A level of more than 512 nodes is read in parts: none is left out, and damage in
// any of them is an error.
func TestWideTrees(t *testing.T) {
	const wide = 600
	build := func(damaged uint64) disk {
		d := oneDevice(3, wide)
		d.inner(3, entry{0, 4}, entry{254, 5}, entry{508, 6})
		var children [3][]entry
		for i := range uint64(wide) {
			children[i/254] = append(children[i/254], entry{i, 100 + i})
			d.inner(100+i, entry{i, 1000 + i})
			d.leaf(1000+i, entry{i, mapping(i, 0)})
		}
		for i := range uint64(3) {
			d.inner(4+i, children[i]...)
		}
		if damaged > 0 {
			d[damaged][100] ^= 1
		}
		return d
	}
	got, err := mappings(t, build(0).open(t), 1)
	require.NoError(t, err)
	require.Len(t, got, wide)
	for i, e := range got {
		require.Equal(t, entry{uint64(i), uint64(i)}, e)
	}
	for _, damaged := range []uint64{1000, 1000 + wide - 1, 100, 100 + wide - 1} {
		_, err := mappings(t, build(damaged).open(t), 1)
		require.ErrorIs(t, err, dmthin.ErrCorrupt, "block %d", damaged)
	}
}
