package dmthin_test

import (
	"bytes"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// loggingReader notes first block and number of blocks of each read.
type loggingReader struct {
	io.ReaderAt
	reads [][2]int64
}

func (r *loggingReader) ReadAt(p []byte, off int64) (int, error) {
	r.reads = append(r.reads, [2]int64{off / dmthin.MetaBlockSize, int64(len(p)) / dmthin.MetaBlockSize})
	return r.ReaderAt.ReadAt(p, off)
}

// Leaves are read in their order on the device: together when at most three others
// lie between two of them, and at most 64 blocks at once.
func TestNeighboursAreReadTogether(t *testing.T) {
	at := []uint64{10, 11, 15, 20, 24}
	for b := range uint64(71) {
		at = append(at, 100+b)
	}
	d := oneDevice(3, uint64(len(at)))
	var children []entry
	for i, b := range at {
		children = append(children, entry{uint64(i), b})
		d.leaf(b, entry{uint64(i), mapping(uint64(i), 0)})
	}
	d.inner(3, children...)
	r := &loggingReader{ReaderAt: d.reader()}
	m, err := dmthin.Open(r)
	require.NoError(t, err)
	r.reads = nil
	_, err = mappings(t, m, 1)
	require.NoError(t, err)
	assert.Equal(t, [][2]int64{{2, 1}, {1, 1}, {3, 1}, {10, 6}, {20, 5}, {100, 64}, {164, 7}}, r.reads)
}

// The offset of block 2^40 would be 2^52; a number that a damaged node makes up is
// never taken to the device.
func TestBlockNumbersAreBounded(t *testing.T) {
	for _, root := range []uint64{1 << 40, 1<<64 - 1} {
		r := &loggingReader{ReaderAt: oneDevice(root, 0).reader()}
		m, err := dmthin.Open(r)
		require.NoError(t, err)
		_, err = mappings(t, m, 1)
		require.ErrorIs(t, err, dmthin.ErrCorrupt)
		for _, read := range r.reads {
			assert.Less(t, read[0], int64(1<<40))
		}
	}
	_, err := mappings(t, oneDevice(1<<40-1, 0).open(t), 1)
	assert.ErrorContains(t, err, "the device ends before block 1099511627775")
}

// failingReader gives an error for one block.
type failingReader struct {
	*bytes.Reader
	block int64
	err   error
}

func (r *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if first := off / dmthin.MetaBlockSize; first <= r.block && r.block < first+int64(len(p))/dmthin.MetaBlockSize {
		return 0, r.err
	}
	return r.Reader.ReadAt(p, off)
}

// A disk that cannot read is not corrupt metadata.
func TestReadErrorsKeepTheirClass(t *testing.T) {
	d := oneDevice(3, 1)
	d.leaf(3, entry{1, 0})
	for block := range int64(4) {
		m, err := dmthin.Open(&failingReader{d.reader(), block, syscall.EIO})
		if err == nil {
			_, err = mappings(t, m, 1)
		}
		require.ErrorIs(t, err, syscall.EIO, "block %d", block)
		require.NotErrorIs(t, err, dmthin.ErrCorrupt, "block %d", block)
	}
}
