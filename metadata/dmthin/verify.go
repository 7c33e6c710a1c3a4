package dmthin

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Sizes of persistent-data/dm-space-map-common.h.
const (
	indexEntrySize  = 16                        // blocknr u64, nr_free u32, none_free_before u32
	indexEntries    = 255                       // in the one index block of the metadata's space map
	bitmapHeader    = 16                        // csum, not_used, blocknr u64
	countsPerBitmap = (MetaBlockSize - 16) << 2 // two bits each
)

// spaceMap is a struct disk_sm_root.
type spaceMap struct {
	blocks, allocated  uint64
	bitmaps, refCounts MetaBlocks
}

func parseSpaceMap(b []byte) spaceMap {
	le := binary.LittleEndian
	return spaceMap{le.Uint64(b), le.Uint64(b[8:]), MetaBlocks(le.Uint64(b[16:])), MetaBlocks(le.Uint64(b[24:]))}
}

// Verify reads every block that the pool's metadata consists of, the space maps
// included, and verifies checksum, place, order and bounds of each. It is for
// metadata at rest; that every count is right is what thin_check knows.
func (m *Metadata) Verify(ctx context.Context) error {
	if _, err := m.Usage(ctx); err != nil {
		return err
	}
	if last := m.sb.MetaBlocks; last > 0 { // the device may have been cut
		if err := m.read(ctx, []MetaBlocks{last - 1}, func(int, []byte) error { return nil }); err != nil {
			return err
		}
	}
	var data, meta spaceMap
	err := m.read(ctx, []MetaBlocks{m.sb.Block}, func(_ int, b []byte) error {
		data, meta = parseSpaceMap(b[64:]), parseSpaceMap(b[192:])
		return nil
	})
	if err != nil {
		return err
	}
	if err := m.verifyDataMap(ctx, data); err != nil {
		return fmt.Errorf("space map of the data: %w", err)
	}
	if err := m.verifyMetaMap(ctx, meta); err != nil {
		return fmt.Errorf("space map of the metadata: %w", err)
	}
	return nil
}

// verifyDataMap follows a btree from the number of a bitmap to its index entry.
func (m *Metadata) verifyDataMap(ctx context.Context, s spaceMap) error {
	want := (s.blocks + countsPerBitmap - 1) / countsPerBitmap
	var bitmaps []MetaBlocks
	err := m.walk(ctx, s.bitmaps, indexEntrySize, func(n node) error {
		for i := range n.n {
			if n.key(i) != uint64(len(bitmaps)) {
				return fmt.Errorf("%w: index entry %d, where %d belongs, at block %d", ErrCorrupt, n.key(i), len(bitmaps), n.at)
			}
			bitmaps = append(bitmaps, MetaBlocks(binary.LittleEndian.Uint64(n.bytes(i))))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if uint64(len(bitmaps)) != want {
		return fmt.Errorf("%w: %d bitmaps for %d blocks, which need %d", ErrCorrupt, len(bitmaps), s.blocks, want)
	}
	return m.verifyCounts(ctx, s, bitmaps)
}

// verifyMetaMap reads the one block that the index entries are in.
func (m *Metadata) verifyMetaMap(ctx context.Context, s spaceMap) error {
	want := (s.blocks + countsPerBitmap - 1) / countsPerBitmap
	if want > indexEntries {
		return fmt.Errorf("%w: %d blocks of metadata", ErrCorrupt, s.blocks)
	}
	var bitmaps []MetaBlocks
	err := m.read(ctx, []MetaBlocks{s.bitmaps}, func(_ int, b []byte) error {
		le := binary.LittleEndian
		if le.Uint32(b) != checksum(b, saltIndex) || MetaBlocks(le.Uint64(b[8:])) != s.bitmaps {
			return fmt.Errorf("%w: index block %d: checksum does not match", ErrCorrupt, s.bitmaps)
		}
		for i := range want {
			bitmaps = append(bitmaps, MetaBlocks(le.Uint64(b[bitmapHeader+i*indexEntrySize:])))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.verifyCounts(ctx, s, bitmaps)
}

// verifyCounts reads the bitmaps and the tree of the counts above two.
func (m *Metadata) verifyCounts(ctx context.Context, s spaceMap, bitmaps []MetaBlocks) error {
	if s.allocated > s.blocks {
		return fmt.Errorf("%w: %d of %d blocks are allocated", ErrCorrupt, s.allocated, s.blocks)
	}
	err := m.read(ctx, bitmaps, func(i int, b []byte) error {
		le := binary.LittleEndian
		if le.Uint32(b) != checksum(b, saltBitmap) {
			return fmt.Errorf("%w: bitmap at block %d: checksum does not match", ErrCorrupt, bitmaps[i])
		}
		if got := MetaBlocks(le.Uint64(b[8:])); got != bitmaps[i] {
			return fmt.Errorf("%w: bitmap at block %d says that it is block %d", ErrCorrupt, bitmaps[i], got)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.walk(ctx, s.refCounts, 4, func(n node) error {
		if n.n > 0 && n.key(n.n-1) >= s.blocks {
			return fmt.Errorf("%w: a count of block %d, of %d, at block %d", ErrCorrupt, n.key(n.n-1), s.blocks, n.at)
		}
		return nil
	})
}
