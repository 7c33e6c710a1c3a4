package dmthin_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

func TestDumpText(t *testing.T) {
	d := disk{}
	d.superblock(1, 2)
	d.change(0, saltSuperblock, func(b []byte) { put32(b, 44, 8); put64(b, 48, 9) })
	d.leaf(1, entry{1, 3}, entry{5, 6})
	d.detailsAt(2, 7, entry{1, 3}, entry{5, 0})
	d.inner(3, entry{0, 4}, entry{10, 5})
	d.leaf(4, entry{0, mapping(100, 1)}, entry{1, mapping(101, 2)})
	d.leaf(5, entry{11, mapping(99, 3)})
	d.leaf(6)
	var out strings.Builder
	unreadable, err := d.open(t).Dump(t.Context(), &out, 1000)
	require.NoError(t, err)
	assert.Zero(t, unreadable)
	assert.Equal(t, `<superblock uuid="" time="8" transaction="9" version="2" data_block_size="128" nr_data_blocks="1000">
<device dev_id="1" mapped_blocks="3" transaction="0" creation_time="0" snap_time="7">
<single_mapping origin_block="0" data_block="100" time="1"/>
<single_mapping origin_block="1" data_block="101" time="2"/>
<single_mapping origin_block="11" data_block="99" time="3"/>
</device>
<device dev_id="5" mapped_blocks="0" transaction="0" creation_time="0" snap_time="7">
</device>
</superblock>
`, out.String())
}

type dumped struct {
	Devices []struct {
		ID     uint64 `xml:"dev_id,attr"`
		Mapped int    `xml:"mapped_blocks,attr"`
		Single []struct {
			Virtual uint64 `xml:"origin_block,attr"`
			Data    uint64 `xml:"data_block,attr"`
			Time    uint32 `xml:"time,attr"`
		} `xml:"single_mapping"`
	} `xml:"device"`
}

func dump(t *testing.T, raw []byte) (all dumped, unreadable int) {
	t.Helper()
	m, err := dmthin.Open(bytes.NewReader(raw))
	require.NoError(t, err)
	var out bytes.Buffer
	unreadable, err = m.Dump(t.Context(), &out, 1_000_000)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(out.Bytes(), &all))
	return all, unreadable
}

func TestDumpHasEveryMapping(t *testing.T) {
	for seed := range uint64(10) {
		p := randomPool(rand.New(rand.NewPCG(seed, 21)))
		all, unreadable := dump(t, dmthintest.Bytes(p))
		require.Zero(t, unreadable)
		require.Len(t, all.Devices, len(p.Devices))
		for _, d := range all.Devices {
			got := map[uint64]dmthintest.Mapping{}
			for _, s := range d.Single {
				got[s.Virtual] = dmthintest.Mapping{Data: s.Data, Time: s.Time}
			}
			want := p.Devices[dmthin.ThinID(d.ID)].Mappings
			require.Equal(t, want, got, "seed %d device %d", seed, d.ID)
			require.Equal(t, len(want), d.Mapped)
		}
	}
}

// Nodes that cannot be read are counted, once a device, and all others are written.
func TestDumpGoesPastDamage(t *testing.T) {
	d := disk{}
	d.superblock(1, 2)
	d.leaf(1, entry{1, 10}, entry{2, 20}, entry{3, 30})
	d.details(2, entry{1, 4}, entry{2, 2}, entry{3, 1})
	d.inner(10, entry{0, 11}, entry{1, 12}, entry{2, 13}, entry{3, 14})
	for i := range uint64(4) {
		d.leaf(11+i, entry{i, mapping(100+i, 0)})
	}
	d.inner(20, entry{0, 21}, entry{1, 12})
	d.leaf(21, entry{0, mapping(200, 0)})
	d.leaf(30, entry{7, mapping(300, 0)})
	for _, damaged := range []uint64{12, 14} {
		d[damaged][200] ^= 1
	}
	raw := make([]byte, 31*dmthin.MetaBlockSize)
	_, err := d.reader().ReadAt(raw, 0)
	require.NoError(t, err)
	all, unreadable := dump(t, raw)
	assert.Equal(t, 3, unreadable, "two of device 1, one of device 2")
	var got [][]uint64
	for _, d := range all.Devices {
		data := []uint64{}
		for _, s := range d.Single {
			data = append(data, s.Data)
		}
		got = append(got, data)
		assert.Equal(t, len(data), d.Mapped)
	}
	assert.Equal(t, [][]uint64{{100, 102}, {200}, {300}}, got)
}

func TestDumpNeedsTheTreesOfDevices(t *testing.T) {
	d := oneDevice(3, 0)
	d.leaf(3)
	d[2][100] ^= 1
	var out bytes.Buffer
	_, err := d.open(t).Dump(t.Context(), &out, 1)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
	assert.Empty(t, out.String())
}

// fullDisk takes nothing.
type fullDisk struct{}

var errFull = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestDumpThatCannotBeWrittenIsAnError(t *testing.T) {
	d := oneDevice(3, 0)
	d.leaf(3)
	m := d.open(t)
	_, err := m.Dump(t.Context(), fullDisk{}, 1)
	require.ErrorIs(t, err, errFull)
	// Once cancelled, nodes are unreadable for a reason that is not theirs.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = m.Dump(ctx, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), 1)
	require.ErrorIs(t, err, context.Canceled)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
