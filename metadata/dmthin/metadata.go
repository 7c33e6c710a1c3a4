package dmthin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Metadata is the metadata of one pool at one moment.
type Metadata struct {
	r  io.ReaderAt
	sb Superblock
}

// Open reads metadata that nobody writes, from a file or from the metadata device
// of a pool that is not active.
func Open(r io.ReaderAt) (*Metadata, error) { return open(r, 0) }

// OpenSnapshot reads the metadata snapshot that a live pool's status shows as held
// root. It must stay held as long as the Metadata is used, and r must read past
// the page cache; see OpenDirect.
func OpenSnapshot(r io.ReaderAt, heldRoot MetaBlocks) (*Metadata, error) {
	if heldRoot == 0 {
		return nil, fmt.Errorf("%w: a metadata snapshot cannot be at block 0", ErrCorrupt)
	}
	return open(r, heldRoot)
}

func open(r io.ReaderAt, at MetaBlocks) (*Metadata, error) {
	m := &Metadata{r: r}
	err := m.read(context.Background(), []MetaBlocks{at}, func(_ int, b []byte) (err error) {
		m.sb, err = ParseSuperblock(b, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Superblock gives what the superblock says.
func (m *Metadata) Superblock() Superblock { return m.sb }

const (
	runBlocks = 64 // blocks read at once at most
	runGap    = 4  // unwanted blocks read along rather than split a run
	// lastBlock bounds block numbers so that none overflows a file offset.
	lastBlock = MetaBlocks(1) << 40
)

// read calls f once for each of the blocks, in their order on the device, with the
// index that the block has in the list. Blocks that stand close together are read
// together. b is valid during the call only.
func (m *Metadata) read(ctx context.Context, blocks []MetaBlocks, f func(i int, b []byte) error) error {
	order := make([]int, len(blocks))
	for i, n := range blocks {
		if n >= lastBlock {
			return fmt.Errorf("%w: block number %d", ErrCorrupt, n)
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(blocks[a], blocks[b]) })
	var buf []byte
	for len(order) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := blocks[order[0]]
		n := 1
		for n < len(order) && blocks[order[n]] < first+runBlocks && blocks[order[n]] <= blocks[order[n-1]]+runGap {
			n++
		}
		want := int(blocks[order[n-1]]-first+1) * MetaBlockSize
		buf = slices.Grow(buf[:0], want)[:want]
		if got, err := m.r.ReadAt(buf, int64(first)*MetaBlockSize); got < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: the device ends before block %d", ErrCorrupt, blocks[order[n-1]])
			}
			return err
		}
		for _, i := range order[:n] {
			at := int(blocks[i]-first) * MetaBlockSize
			if err := f(i, buf[at:at+MetaBlockSize]); err != nil {
				return err
			}
		}
		order = order[n:]
	}
	return nil
}
