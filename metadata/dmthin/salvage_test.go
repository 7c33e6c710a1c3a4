package dmthin_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

func salvaged(t testing.TB, raw []byte, want []dmthin.ThinID) (*dmthin.Metadata, error) {
	t.Helper()
	sb, err := dmthin.Salvage(context.Background(), bytes.NewReader(raw), dmthin.MetaBlocks(len(raw)/4096), 128, 100_000, want)
	if err != nil {
		return nil, err
	}
	whole := bytes.Clone(raw)
	copy(whole, sb)
	return dmthin.Open(bytes.NewReader(whole))
}

// A superblock with one bit wrong, or none at all, is found again: the same thin
// devices with the same mappings.
func TestSalvageFindsTheTrees(t *testing.T) {
	raw := dmthintest.Bytes(randomPool(rand.New(rand.NewPCG(11, 4))))
	m, err := dmthin.Open(bytes.NewReader(raw))
	require.NoError(t, err)
	want, err := m.Usage(t.Context())
	require.NoError(t, err)
	var ids []dmthin.ThinID
	for _, u := range want {
		ids = append(ids, u.ID)
	}
	flipped, zeroed := bytes.Clone(raw), bytes.Clone(raw)
	flipped[321] ^= 8
	clear(zeroed[:2*4096]) // the metadata snapshot too
	for _, damaged := range [][]byte{flipped, zeroed} {
		m, err := salvaged(t, damaged, ids)
		require.NoError(t, err)
		got, err := m.Usage(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err = salvaged(t, make([]byte, 16*4096), ids)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}

// One flipped bit is flipped back, and all that the superblock said stays, its
// transaction id and its roots included. Of two flipped bits none is taken for it.
func TestSalvageMendsOneBit(t *testing.T) {
	raw := dmthintest.Bytes(dmthintest.Pool{DataBlockSize: 128, Transaction: 0x1234, Time: 7, Devices: map[dmthin.ThinID]dmthintest.Device{
		1: {Mappings: map[uint64]dmthintest.Mapping{1: {Data: 2}}},
	}})
	size := dmthin.MetaBlocks(len(raw) / 4096)
	for _, at := range []int{0, 3, 4, 8, 32, 39, 48, 321, 1000, 4095} {
		for bit := range 8 {
			damaged := bytes.Clone(raw)
			damaged[at] ^= 1 << bit
			sb, err := dmthin.Salvage(t.Context(), bytes.NewReader(damaged), size, 128, 1000, nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(raw[:4096], sb), "bit %d of byte %d", bit, at)
		}
	}
	two := bytes.Clone(raw)
	two[49] ^= 3
	sb, err := dmthin.Salvage(t.Context(), bytes.NewReader(two), size, 256, 1000, []dmthin.ThinID{1})
	require.NoError(t, err)
	got, err := dmthin.ParseSuperblock(sb, 0)
	require.NoError(t, err)
	want, err := dmthin.ParseSuperblock(raw[:4096], 0)
	require.NoError(t, err)
	assert.Equal(t, dmthin.Superblock{
		Version: 2, DataBlockSize: 256, MetaBlocks: size, DataBlocks: 1000, Mappings: want.Mappings, Details: want.Details,
	}, got)
}

// Damage anywhere beside a lost superblock: an answer or ErrCorrupt, and no panic.
func FuzzSalvage(f *testing.F) {
	raw := dmthintest.Bytes(randomPool(rand.New(rand.NewPCG(4, 4))))
	clear(raw[:4096])
	f.Add(uint16(2), uint16(16), uint64(300))
	f.Add(uint16(3), uint16(40), uint64(3))
	f.Add(uint16(9), uint16(24), uint64(24))
	f.Fuzz(func(t *testing.T, blockNr, offset uint16, value uint64) {
		damaged := bytes.Clone(raw)
		b := damaged[(int(blockNr)%(len(raw)/4096))*4096:][:4096]
		at := 4 + int(offset)%(4096-12)
		for i := range 8 {
			b[at+i] = byte(value >> (8 * i))
		}
		dmthintest.Seal(b, 121107)
		m, err := salvaged(t, damaged, []dmthin.ThinID{1, 2})
		if err != nil {
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
			return
		}
		if _, err := m.Dump(t.Context(), io.Discard, 1000); err != nil {
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
		}
	})
}
