package dmthin_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

// Trees of more than one level have an id looked up by one path.
func TestManyDevices(t *testing.T) {
	pool := dmthintest.Pool{DataBlockSize: 128, Devices: map[dmthin.ThinID]dmthintest.Device{}}
	for i := range dmthin.ThinID(400) {
		pool.Devices[10+3*i] = dmthintest.Device{
			Transaction: uint64(i), Created: uint32(i), Snapshotted: uint32(i + 1),
			Mappings: map[uint64]dmthintest.Mapping{uint64(i): {Data: uint64(i)}},
		}
	}
	pool.Devices[dmthin.MaxThinID] = dmthintest.Device{}
	m, err := dmthin.Open(bytes.NewReader(dmthintest.Bytes(pool)))
	require.NoError(t, err)
	all, err := m.Devices(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 401)
	for i, want := range all {
		got, err := m.Device(t.Context(), want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		if i < 400 {
			require.EqualValues(t, 10+3*i, got.ID)
			require.Equal(t, [4]uint64{1, uint64(i), uint64(i), uint64(i + 1)},
				[4]uint64{uint64(got.Mapped), uint64(got.Transaction), uint64(got.Created), uint64(got.Snapshotted)})
		}
	}
	for _, absent := range []dmthin.ThinID{0, 9, 11, 12, 10 + 3*62 + 1, 10 + 3*125 + 1, 10 + 3*399 + 1, dmthin.MaxThinID - 1} {
		_, err := m.Device(t.Context(), absent)
		require.ErrorIs(t, err, dmthin.ErrNoDevice, "id %d", absent)
	}
}

// An id below all others is not in any child, so none is read.
func TestLookUpOfAnIDBelowAllOthers(t *testing.T) {
	d := disk{}
	d.superblock(3, 2)
	d.inner(2, entry{5, 99})
	d.inner(3, entry{5, 99})
	m := d.open(t)
	_, err := m.Device(t.Context(), 4)
	require.ErrorIs(t, err, dmthin.ErrNoDevice)
	_, err = m.Device(t.Context(), 5)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}

// The two trees of devices have the same ids, or the metadata is corrupt.
func TestTreesOfDevicesAgree(t *testing.T) {
	for name, test := range map[string]struct {
		mapped, detailed []entry
		want             string
	}{
		"no mappings":        {[]entry{{1, 3}}, []entry{{1, 0}, {2, 0}}, "thin id 2 has details and no mappings"},
		"no details":         {[]entry{{1, 3}, {2, 3}}, []entry{{1, 0}}, "thin id 2 has mappings and no details"},
		"neither has enough": {[]entry{{2, 3}}, []entry{{1, 0}}, "thin id 2 has mappings and no details"},
		"id of 25 bits":      {[]entry{{1 << 24, 3}}, []entry{{1 << 24, 0}}, "thin id 16777216"},
	} {
		t.Run(name, func(t *testing.T) {
			d := disk{}
			d.superblock(1, 2)
			d.leaf(1, test.mapped...)
			d.details(2, test.detailed...)
			d.leaf(3)
			m := d.open(t)
			_, err := m.Devices(t.Context())
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
			assert.ErrorContains(t, err, test.want)
			for id := range dmthin.ThinID(4) {
				want := error(nil)
				switch both := bools(has(test.mapped, id), has(test.detailed, id)); both {
				case 0:
					want = dmthin.ErrNoDevice
				case 1:
					want = dmthin.ErrCorrupt
				}
				_, err := m.Device(t.Context(), id)
				require.ErrorIs(t, err, want, "id %d", id)
			}
		})
	}
}

func has(list []entry, id dmthin.ThinID) bool {
	for _, e := range list {
		if e.key == uint64(id) {
			return true
		}
	}
	return false
}

func bools(list ...bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

// Damage below the root of the details is not passed over.
func TestDamagedDetails(t *testing.T) {
	d := disk{}
	d.superblock(1, 2)
	d.leaf(1, entry{1, 9})
	d.inner(2, entry{1, 3})
	d.details(3, entry{1, 0})
	d.leaf(9)
	_, err := d.open(t).Devices(t.Context())
	require.NoError(t, err)
	d[3][100] ^= 1
	_, err = d.open(t).Devices(t.Context())
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}

func runs(t *testing.T, m *dmthin.Metadata) []dmthin.Run {
	t.Helper()
	var all []dmthin.Run
	require.NoError(t, m.Mappings(t.Context(), 1, func(r dmthin.Run) error { all = append(all, r); return nil }))
	return all
}

// Mappings are joined where virtual block, data block and time all go on.
func TestRunsOfMappings(t *testing.T) {
	for name, test := range map[string]struct {
		entries []entry
		want    []dmthin.Run
	}{
		"none":              {nil, nil},
		"only zeros":        {[]entry{{0, 0}}, []dmthin.Run{{Length: 1}}},
		"from zero":         {[]entry{{0, 0}, {1, mapping(1, 0)}}, []dmthin.Run{{Length: 2}}},
		"one":               {[]entry{{7, mapping(9, 3)}}, []dmthin.Run{{Virtual: 7, Data: 9, Length: 1, Time: 3}}},
		"three":             {[]entry{{7, mapping(9, 3)}, {8, mapping(10, 3)}, {9, mapping(11, 3)}}, []dmthin.Run{{Virtual: 7, Data: 9, Length: 3, Time: 3}}},
		"another time":      {[]entry{{7, mapping(9, 3)}, {8, mapping(10, 4)}}, []dmthin.Run{{Virtual: 7, Data: 9, Length: 1, Time: 3}, {Virtual: 8, Data: 10, Length: 1, Time: 4}}},
		"a gap":             {[]entry{{7, mapping(9, 3)}, {9, mapping(10, 3)}}, []dmthin.Run{{Virtual: 7, Data: 9, Length: 1, Time: 3}, {Virtual: 9, Data: 10, Length: 1, Time: 3}}},
		"data that goes on": {[]entry{{7, mapping(9, 3)}, {8, mapping(11, 3)}}, []dmthin.Run{{Virtual: 7, Data: 9, Length: 1, Time: 3}, {Virtual: 8, Data: 11, Length: 1, Time: 3}}},
		"data that returns": {[]entry{{7, mapping(9, 3)}, {8, mapping(8, 3)}}, []dmthin.Run{{Virtual: 7, Data: 9, Length: 1, Time: 3}, {Virtual: 8, Data: 8, Length: 1, Time: 3}}},
		"40 bits of data":   {[]entry{{7, 1<<64 - 1}}, []dmthin.Run{{Virtual: 7, Data: 1<<40 - 1, Length: 1, Time: 1<<24 - 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := oneDevice(3, uint64(len(test.entries)))
			d.leaf(3, test.entries...)
			assert.Equal(t, test.want, runs(t, d.open(t)))
		})
	}
}

// The first error of the caller's ends the walk, and is what it gets.
func TestCallersErrorsEndAWalk(t *testing.T) {
	mine := errors.New("enough")
	d := disk{}
	d.superblock(1, 2)
	d.leaf(1, entry{1, 3}, entry{2, 4})
	d.details(2, entry{1, 3}, entry{2, 0})
	d.leaf(3, entry{1, mapping(1, 0)}, entry{3, mapping(3, 0)}, entry{5, mapping(5, 0)})
	d.leaf(4)
	m := d.open(t)
	for enough := 1; enough <= 3; enough++ {
		calls := 0
		call := func() error {
			if calls++; calls == enough {
				return mine
			}
			return nil
		}
		require.ErrorIs(t, m.Mappings(t.Context(), 1, func(dmthin.Run) error { return call() }), mine)
		require.Equal(t, enough, calls)
		calls = 0
		require.ErrorIs(t, m.Delta(t.Context(), 1, 2, func(dmthin.Range) error { return call() }), mine)
		require.Equal(t, enough, calls)
	}
}
