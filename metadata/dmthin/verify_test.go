package dmthin_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/metadata/dmthin/dmthintest"
)

// Blocks of spaceMapped, and the counts that one bitmap has.
const (
	atDataIndex, atDataCounts = 10, 11
	atMetaIndex, atMetaCounts = 12, 13
	atBitmaps                 = 20
	perBitmap                 = 16_320
)

// spaceMapped is a disk with space maps of so many blocks, fully allocated, and as
// many bitmaps as those need. Of both, the last block is counted in the tree too.
func spaceMapped(data, meta uint64) disk {
	d := oneDevice(3, 0)
	d.leaf(3)
	at := uint64(atBitmaps)
	var keys []uint64
	var values [][]byte
	for i := range (data + perBitmap - 1) / perBitmap {
		v := make([]byte, 16)
		put64(v, 0, d.bitmap(&at))
		keys, values = append(keys, i), append(values, v)
	}
	d.node(atDataIndex, 2, 16, keys, values)
	index := make([]byte, dmthin.MetaBlockSize)
	put64(index, 8, atMetaIndex)
	for i := range min((meta+perBitmap-1)/perBitmap, 255) {
		put64(index, 16+16*int(i), d.bitmap(&at))
	}
	d[atMetaIndex] = index
	dmthintest.Seal(index, saltIndex)
	d.counts(atDataCounts, data)
	d.counts(atMetaCounts, meta)
	d.change(0, saltSuperblock, func(b []byte) {
		for i, v := range []uint64{data, data, atDataIndex, atDataCounts} {
			put64(b, 64+8*i, v)
		}
		for i, v := range []uint64{meta, meta, atMetaIndex, atMetaCounts} {
			put64(b, 192+8*i, v)
		}
		put64(b, 344, at)
	})
	if d[at-1] == nil {
		d[at-1] = make([]byte, dmthin.MetaBlockSize)
	}
	return d
}

// bitmap puts a bitmap at the next free block.
func (d disk) bitmap(next *uint64) uint64 {
	at := *next
	*next++
	b := make([]byte, dmthin.MetaBlockSize)
	put64(b, 8, at)
	d[at] = b
	dmthintest.Seal(b, saltBitmap)
	return at
}

// counts puts the tree of the counts above two of a space map, of its last block.
func (d disk) counts(at, blocks uint64) {
	if blocks == 0 {
		d.node(at, 2, 4, nil, nil)
		return
	}
	d.node(at, 2, 4, []uint64{blocks - 1}, [][]byte{{3, 0, 0, 0}})
}

func TestVerifyTakesWholeMetadata(t *testing.T) {
	for _, blocks := range [][2]uint64{
		{0, 0}, {1, 1}, {perBitmap, perBitmap}, {perBitmap + 1, perBitmap + 1},
		{2*perBitmap - 1, 3 * perBitmap}, {4*perBitmap + 1, 254 * perBitmap}, {7, 254*perBitmap + 1}, {7, 255 * perBitmap},
	} {
		require.NoError(t, spaceMapped(blocks[0], blocks[1]).open(t).Verify(t.Context()), "%v", blocks)
	}
	// What dmthintest writes is whole.
	raw := dmthintest.Bytes(randomPool(rand.New(rand.NewPCG(9, 9))))
	m, err := dmthin.Open(bytes.NewReader(raw))
	require.NoError(t, err)
	require.NoError(t, m.Verify(t.Context()))
}

// sealed edits a block of metadata; its checksum is right afterwards.
func sealed(at uint64, salt uint32, offset int, value uint64) func(d disk) {
	return func(d disk) { d.change(at, salt, func(b []byte) { put64(b, offset, value) }) }
}

func flipped(at uint64) func(d disk) { return func(d disk) { d[at][4000] ^= 1 } }

func TestVerifyFindsDamage(t *testing.T) {
	const data, meta = 2 * perBitmap, 3 * perBitmap
	for name, test := range map[string]struct {
		damage func(d disk)
		want   string
	}{
		"index of the data":           {flipped(atDataIndex), "space map of the data"},
		"counts of the data":          {flipped(atDataCounts), "space map of the data"},
		"first bitmap of the data":    {flipped(atBitmaps), "bitmap at block 20: checksum"},
		"last bitmap of the data":     {flipped(atBitmaps + 1), "bitmap at block 21: checksum"},
		"index of the metadata":       {flipped(atMetaIndex), "space map of the metadata"},
		"counts of the metadata":      {flipped(atMetaCounts), "space map of the metadata"},
		"first bitmap of metadata":    {flipped(atBitmaps + 2), "bitmap at block 22: checksum"},
		"last bitmap of the metadata": {flipped(atBitmaps + 4), "bitmap at block 24: checksum"},
		"bitmap of another block":     {sealed(atBitmaps, saltBitmap, 8, 21), "bitmap at block 20 says that it is block 21"},
		"metadata's of another block": {sealed(atBitmaps+4, saltBitmap, 8, 21), "bitmap at block 24 says that it is block 21"},
		"index of another block":      {sealed(atMetaIndex, saltIndex, 8, 13), "index block 12"},
		"index sealed as a node":      {sealed(atMetaIndex, saltNode, 8, atMetaIndex), "index block 12"},
		"bitmap sealed as a node":     {sealed(atBitmaps, saltNode, 8, atBitmaps), "bitmap at block 20: checksum"},
		"entries out of order":        {sealed(atDataIndex, saltNode, 32, 1<<63-1), "tree node at block 10"},
		"entry left out":              {sealed(atDataIndex, saltNode, 40, 2), "index entry 2, where 1 belongs"},
		"a bitmap too many":           {sealed(0, saltSuperblock, 64, data-perBitmap), "2 bitmaps for 16320 blocks, which need 1"},
		"a bitmap too few":            {sealed(0, saltSuperblock, 64, data+1), "2 bitmaps for 32641 blocks, which need 3"},
		"256 bitmaps of metadata":     {sealed(0, saltSuperblock, 192, 255*perBitmap+1), "4161601 blocks of metadata"},
		"data allocated twice":        {sealed(0, saltSuperblock, 72, data+1), "32641 of 32640 blocks are allocated"},
		"metadata allocated twice":    {sealed(0, saltSuperblock, 200, meta+1), "48961 of 48960 blocks are allocated"},
		"count beyond the data":       {func(d disk) { d.counts(atDataCounts, data+1) }, "a count of block 32640, of 32640"},
		"count beyond the metadata":   {func(d disk) { d.counts(atMetaCounts, meta+1) }, "a count of block 48960, of 48960"},
		"a device that was cut":       {sealed(0, saltSuperblock, 344, atBitmaps+6), "the device ends before block 25"},
		"a thin device":               {flipped(3), "tree node at block 3"},
	} {
		t.Run(name, func(t *testing.T) {
			d := spaceMapped(data, meta)
			require.NoError(t, d.open(t).Verify(t.Context()))
			test.damage(d)
			err := d.open(t).Verify(t.Context())
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// A superblock that was never opened by the kernel may say that the device has no
// size; nothing is known of its end then.
func TestVerifyWithoutASize(t *testing.T) {
	d := spaceMapped(1, 1)
	sealed(0, saltSuperblock, 344, 0)(d)
	require.NoError(t, d.open(t).Verify(t.Context()))
}
