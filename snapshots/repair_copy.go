package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// repairTo puts a good copy of the metadata into a file that has its size. thin_repair
// does it if it can: before 1.0 it ends in a segmentation fault where a superblock or
// an inner node is damaged. Otherwise what this program can read goes through
// thin_restore, and when the trees of devices themselves are damaged, the youngest
// whole ones that are left.
func (j repairJob) repairTo(ctx context.Context, part string, blocks dmthin.MetaBlocks) error {
	if _, err := superblockOf(j.path); err == nil {
		first := thinTool(ctx, "thin_repair", "-i", j.path, "-o", part)
		if first == nil || errors.Is(first, class.NotSupported) {
			return first
		}
		if err := j.restore(ctx, j.path, part); err == nil {
			return nil
		}
	} else if !errors.Is(err, dmthin.ErrCorrupt) {
		return err
	}
	copied := j.file(".salvaged")
	defer func() { _ = os.Remove(copied) }() // a leftover is written over
	if err := copyFile(j.path, copied, os.O_CREATE|os.O_TRUNC); err != nil {
		return err
	}
	f, err := os.OpenFile(copied, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	sb, err := dmthin.Salvage(ctx, f, blocks, uint32(j.blockSize/devmapper.SectorSize), dmthin.DataBlocks(j.dataBlocks), j.thins)
	if err == nil {
		_, err = f.WriteAt(sb, 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return j.restore(ctx, copied, part)
}

// restore reads metadata as far as it goes and has thin_restore write it anew.
func (j repairJob) restore(ctx context.Context, from, part string) (err error) {
	in, err := dmthin.OpenDirect(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	m, err := dmthin.Open(in)
	if err != nil {
		return err
	}
	text := j.file(".xml")
	defer func() { _ = os.Remove(text) }() // a leftover is written over
	out, err := os.OpenFile(text, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = m.Dump(ctx, out, dmthin.DataBlocks(j.dataBlocks))
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("read what is left: %w", err)
	}
	return thinTool(ctx, "thin_restore", "-i", text, "-o", part)
}
