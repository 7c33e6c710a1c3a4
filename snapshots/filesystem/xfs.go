package filesystem

import (
	"context"
	"encoding/binary"
)

const nameXFS = "xfs"

// xfs is fs/xfs of the kernel. Its on-disk numbers are big-endian.
type xfs struct{}

func (xfs) Name() string { return nameXFS }

func (xfs) Tool() Tool { return Tool{"mkfs.xfs", "xfsprogs"} }

// LeastSize is what mkfs.xfs refuses to go below since xfsprogs 5.19.
func (xfs) LeastSize() uint64 { return 300 << 20 }

// Format says -K, which keeps mkfs from discarding a device that has nothing to discard.
func (k xfs) Format(ctx context.Context, f Format) error {
	args := append([]string{"-q", "-f", "-K"}, f.Options...)
	return k.Tool().run(ctx, append(args, f.Device)...)
}

func (xfs) MountOptions(readOnly bool) []string { return withMode(readOnly, "nouuid") }

// XFS_IOC_FSGROWFSDATA and XFS_IOC_FSGEOMETRY_V1 of fs/xfs/libxfs/xfs_fs.h.
const (
	growFSData  = 0x4010586e
	geometryV1  = 0x80705864
	geometryLen = 112
)

func (xfs) Grow(tree *Tree, bytes uint64) error {
	block, err := tree.blockSize()
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	// struct xfs_fsop_geom_v1: imaxpct is the u32 at 28, datablocks the u64 at 32.
	geometry := make([]byte, geometryLen)
	if err := tree.ioctl(geometryV1, geometry); err != nil {
		return err
	}
	// One that is as large already may have lost the power before the copies of its
	// superblock were written, which are not in its log: this writes them
	// (xfs_growfs_data in fs/xfs/xfs_fsops.c).
	blocks := max(bytes/block, order.Uint64(geometry[32:]))
	// struct xfs_growfs_data: newblocks u64, imaxpct u32
	in := append(order.AppendUint64(nil, blocks), geometry[28:32]...)
	return tree.ioctl(growFSData, append(in, 0, 0, 0, 0))
}

// Places in struct xfs_dsb of fs/xfs/libxfs/xfs_format.h.
const (
	xfsBlockSize    = 4
	xfsDataBlocks   = 8
	xfsUUID         = 32
	xfsLogStart     = 48
	xfsAGBlocks     = 84
	xfsLogBlocks    = 96
	xfsAGBlockShift = 124
)

func (xfs) Superblock(head []byte) (sb Superblock, ok bool) {
	if string(head[:4]) != "XFSB" {
		return sb, false
	}
	be := binary.BigEndian
	sb = Superblock{Kind: nameXFS, Size: uint64(be.Uint32(head[xfsBlockSize:])) * be.Uint64(head[xfsDataBlocks:])}
	copy(sb.UUID[:], head[xfsUUID:])
	return sb, true
}
