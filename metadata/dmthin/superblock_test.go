package dmthin_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

func TestSuperblockFields(t *testing.T) {
	d := disk{}
	d.superblock(11, 12)
	d.change(0, saltSuperblock, func(b []byte) {
		put32(b, 4, 1)
		copy(b[16:], "0123456789abcdef")
		put32(b, 44, 5)
		put64(b, 48, 6)
		put64(b, 56, 7)
		put64(b, 64, 100)
		put64(b, 72, 50)
		put64(b, 200, 9)
		put64(b, 344, 64)
	})
	got, err := dmthin.ParseSuperblock(d[0], 0)
	require.NoError(t, err)
	assert.Equal(t, dmthin.Superblock{
		NeedsCheck: true, UUID: [16]byte([]byte("0123456789abcdef")), Version: 2, Time: 5, Transaction: 6, HeldRoot: 7,
		Mappings: 11, Details: 12, DataBlockSize: 128, MetaBlocks: 64, DataBlocks: 100, DataUsed: 50, MetaUsed: 9,
	}, got)
}

func TestSuperblockIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(b []byte)
		want string // part of the error, or ""
	}{
		"version 1":             {func(b []byte) { put32(b, 40, 1) }, ""},
		"version 0":             {func(b []byte) { put32(b, 40, 0) }, "format version 0"},
		"version 3":             {func(b []byte) { put32(b, 40, 3) }, "format version 3"},
		"other flags":           {func(b []byte) { put32(b, 4, 6) }, ""},
		"other magic":           {func(b []byte) { put64(b, 32, 1) }, "magic"},
		"another block":         {func(b []byte) { put64(b, 8, 1) }, "says that it is block 1"},
		"incompatible features": {func(b []byte) { put32(b, 360, 1) }, "incompatible"},
		"blocks of 512 bytes":   {func(b []byte) { put32(b, 340, 1) }, "metadata block size"},
		"data blocks of 0":      {func(b []byte) { put32(b, 336, 0) }, "data block size 0"},
	} {
		t.Run(name, func(t *testing.T) {
			d := disk{}
			d.superblock(1, 2)
			d.change(0, saltSuperblock, test.edit)
			sb, err := dmthin.ParseSuperblock(d[0], 0)
			if test.want == "" {
				require.NoError(t, err)
				assert.False(t, sb.NeedsCheck)
				return
			}
			require.ErrorIs(t, err, dmthin.ErrCorrupt)
			assert.ErrorContains(t, err, test.want)
		})
	}
	_, err := dmthin.ParseSuperblock(make([]byte, 4095), 0)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)
}

// The magic number is in bytes 32 to 39.
func TestIsSuperblock(t *testing.T) {
	d := disk{}
	d.superblock(1, 2)
	assert.True(t, dmthin.IsSuperblock(d[0]))
	assert.True(t, dmthin.IsSuperblock(d[0][:40]))
	assert.False(t, dmthin.IsSuperblock(d[0][:39]))
	assert.False(t, dmthin.IsSuperblock(nil))
	assert.False(t, dmthin.IsSuperblock(make([]byte, 4096)))
}

func TestMetadataSnapshotIsNotAtBlock0(t *testing.T) {
	d := oneDevice(3, 0)
	d.leaf(3)
	_, err := dmthin.OpenSnapshot(d.reader(), 0)
	require.ErrorIs(t, err, dmthin.ErrCorrupt)

	d[4] = append([]byte(nil), d[0]...)
	d.change(4, saltSuperblock, func(b []byte) { put64(b, 8, 4) })
	m, err := dmthin.OpenSnapshot(d.reader(), 4)
	require.NoError(t, err)
	assert.EqualValues(t, 4, m.Superblock().Block)
}
