package filesystem

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

const nameExt4 = "ext4"

// ext4 is fs/ext4 of the kernel. Its on-disk numbers are little-endian.
type ext4 struct{}

func (ext4) Name() string { return nameExt4 }

func (ext4) Tool() Tool { return Tool{"mkfs.ext4", "e2fsprogs"} }

func (ext4) LeastSize() uint64 { return 4 << 20 }

// Format tells mkfs that a device reads as zeros if it does, which maps 5 MiB of a
// 10 GiB device and not 229; mkfs before 1.47 does not know how to say that and
// initialises its tables at once instead, so that no kernel thread writes them into
// every container later.
func (k ext4) Format(ctx context.Context, f Format) error {
	const eager = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
	how := []string{eager}
	if f.Zeroed {
		how = []string{"nodiscard,assume_storage_prezeroed=1", eager}
	}
	var err error
	for _, extended := range how {
		args := append([]string{"-q", "-F", "-E", extended}, f.Options...)
		if err = k.Tool().run(ctx, append(args, f.Device)...); err == nil {
			return removeLostAndFound(f)
		}
	}
	return err
}

// removeLostAndFound leaves an image's root as the image says it is.
func removeLostAndFound(f Format) error {
	tree, err := (Mount{Type: f.Filesystem, Source: f.Device}).Open()
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(tree.Path()+"/lost+found"), tree.Close())
}

// MountOptions say what an error does. Else the filesystem says it, and one that a guest
// has written can say that the kernel shall panic.
func (ext4) MountOptions(readOnly bool) []string {
	return withMode(readOnly, "errors=remount-ro")
}

// resizeFS is EXT4_IOC_RESIZE_FS of fs/ext4/ext4.h.
const resizeFS = 0x40086610

func (ext4) Grow(tree *Tree, bytes uint64) error {
	block, err := tree.blockSize()
	if err != nil {
		return err
	}
	return tree.ioctl(resizeFS, binary.NativeEndian.AppendUint64(nil, bytes/block))
}

// Places in struct ext4_super_block of fs/ext4/ext4.h, as seen from the device's
// beginning.
const (
	ext4At           = 1024
	ext4Blocks       = ext4At + 0x4
	ext4LogBlockSize = ext4At + 0x18
	ext4Magic        = ext4At + 0x38
	ext4Incompat     = ext4At + 0x60
	ext4UUID         = ext4At + 0x68
	ext4BlocksHigh   = ext4At + 0x150

	ext4Recover = 0x4  // EXT4_FEATURE_INCOMPAT_RECOVER: the journal is to be replayed
	ext4Wide    = 0x80 // EXT4_FEATURE_INCOMPAT_64BIT
)

func (ext4) Superblock(head []byte) (sb Superblock, ok bool) {
	le := binary.LittleEndian
	logBlock := le.Uint32(head[ext4LogBlockSize:])
	if le.Uint16(head[ext4Magic:]) != 0xEF53 || logBlock > 6 { // 64 KiB
		return sb, false
	}
	blocks := uint64(le.Uint32(head[ext4Blocks:]))
	if le.Uint32(head[ext4Incompat:])&ext4Wide != 0 {
		blocks |= uint64(le.Uint32(head[ext4BlocksHigh:])) << 32
	}
	sb = Superblock{Kind: nameExt4, Size: blocks << (10 + logBlock)}
	copy(sb.UUID[:], head[ext4UUID:])
	return sb, true
}

// NeedsReplay looks at the flag that a writable mount sets and an unmount, or a freeze,
// takes away. Without it the kernel ignores what is in the journal (ext4_load_journal in
// fs/ext4/super.c).
func (ext4) NeedsReplay(head []byte, _ io.ReaderAt) (bool, error) {
	return binary.LittleEndian.Uint32(head[ext4Incompat:])&ext4Recover != 0, nil
}
