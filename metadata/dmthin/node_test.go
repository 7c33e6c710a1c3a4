package dmthin_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// mappings lists a device's mappings one by one.
func mappings(t *testing.T, m *dmthin.Metadata, id dmthin.ThinID) (list []entry, err error) {
	t.Helper()
	err = m.Mappings(t.Context(), id, func(r dmthin.Run) error {
		for i := range r.Length {
			list = append(list, entry{uint64(r.Virtual + i), uint64(r.Data + i)})
		}
		return nil
	})
	return list, err
}

// A node's header is taken only when the entries that it announces are there and in
// order. Values of 8 bytes leave room for 254 entries.
func TestNodeHeaders(t *testing.T) {
	two := []entry{{5, mapping(50, 0)}, {6, mapping(60, 0)}}
	for name, test := range map[string]struct {
		edit func(b []byte)
		want string // part of the error, or ""
	}{
		"as it should be":        {func([]byte) {}, ""},
		"room for none":          {func(b []byte) { put32(b, 16, 0); put32(b, 20, 0) }, "0 entries of at most 0"},
		"no entries":             {func(b []byte) { put32(b, 16, 0) }, ""},
		"room for one":           {func(b []byte) { put32(b, 16, 1); put32(b, 20, 1); put64(b, 40, mapping(50, 0)) }, ""},
		"more entries than room": {func(b []byte) { put32(b, 16, 3) }, "3 entries of at most 2"},
		"4 thousand million":     {func(b []byte) { put32(b, 16, 1<<32-1) }, "4294967295 entries"},
		"room for 254":           {func(b []byte) { put32(b, 16, 0); put32(b, 20, 254) }, ""},
		"room for 255":           {func(b []byte) { put32(b, 16, 0); put32(b, 20, 255) }, "at most 255"},
		"room for 2^32 - 1":      {func(b []byte) { put32(b, 16, 0); put32(b, 20, 1<<32-1) }, "at most 4294967295"},
		"equal keys":             {func(b []byte) { put64(b, 40, 5) }, "key 5 after 5"},
		"keys that descend":      {func(b []byte) { put64(b, 40, 4) }, "key 4 after 5"},
		"values of 16 bytes":     {func(b []byte) { put32(b, 24, 16) }, "values of 16 bytes"},
		"inner with 16 bytes":    {func(b []byte) { put32(b, 4, 1); put32(b, 24, 16) }, "values of 16 bytes"},
		"inner without entries":  {func(b []byte) { put32(b, 4, 1); put32(b, 16, 0) }, "without entries"},
		"leaf and inner":         {func(b []byte) { put32(b, 4, 3) }, "flags 0x3"},
		"another block":          {func(b []byte) { put64(b, 8, 4) }, "says that it is block 4"},
	} {
		t.Run(name, func(t *testing.T) {
			d := oneDevice(3, 2)
			d.leaf(3, two...)
			d.change(3, saltNode, test.edit)
			got, err := mappings(t, d.open(t), 1)
			if test.want == "" {
				require.NoError(t, err)
				for i, e := range got {
					assert.Equal(t, entry{two[i].key, two[i].value >> 24}, e)
				}
				return
			}
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
			assert.ErrorContains(t, err, test.want)
		})
	}
	full := make([]entry, 254)
	for i := range full {
		full[i] = entry{uint64(2 * i), mapping(uint64(i), 0)}
	}
	d := oneDevice(3, 254)
	d.leaf(3, full...)
	got, err := mappings(t, d.open(t), 1)
	require.NoError(t, err)
	assert.Len(t, got, 254)
}

// A child has the keys from its own to the next child's, and all of them are read.
func TestKeysBelongToTheirParent(t *testing.T) {
	for name, test := range map[string]struct {
		left, right []entry
		want        string
	}{
		"as it should be":           {[]entry{{10, 0}, {19, 0}}, []entry{{20, 0}, {30, 0}}, ""},
		"below its parent's key":    {[]entry{{9, 0}, {19, 0}}, []entry{{20, 0}}, "keys 9 to 19, where its parent has 10 to 19"},
		"the next child's key":      {[]entry{{10, 0}, {20, 0}}, []entry{{20, 0}}, "keys 10 to 20"},
		"beyond the next child":     {[]entry{{10, 0}, {21, 0}}, []entry{{25, 0}}, "keys 10 to 21"},
		"the last child's below":    {[]entry{{10, 0}}, []entry{{19, 0}, {40, 0}}, "keys 19 to 40"},
		"the last child's endless":  {[]entry{{10, 0}}, []entry{{20, 0}, {1<<64 - 1, 0}}, ""},
		"nothing in the left child": {nil, []entry{{20, 0}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := oneDevice(3, 2)
			d.inner(3, entry{10, 4}, entry{20, 5})
			d.leaf(4, test.left...)
			d.leaf(5, test.right...)
			m := d.open(t)
			got, err := mappings(t, m, 1)
			_, usageErr := m.Freed(t.Context(), 1)
			if test.want == "" {
				require.NoError(t, err)
				require.NoError(t, usageErr)
				assert.Len(t, got, len(test.left)+len(test.right))
				return
			}
			for _, err := range []error{err, usageErr} {
				require.ErrorIs(t, err, dmthin.ErrCorrupt)
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}
