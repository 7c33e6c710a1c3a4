package thinpool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

const (
	blank  = "nothing"
	pooled = "the metadata of another thin pool"
)

// signature is what some format leaves at a fixed place.
type signature struct {
	at    int
	magic string
	what  string
}

var signatures = []signature{
	{1080, "\x53\xef", "an ext2, ext3 or ext4 filesystem"},
	{0, "XFSB", "an xfs filesystem"},
	{65600, "_BHRfS_M", "a btrfs filesystem"},
	{512, "LABELONE", "an LVM physical volume"},
	{0, "LUKS\xba\xbe", "a LUKS volume"},
	{4086, "SWAPSPACE2", "swap space"},
	{1024, "\xe2\xe1\xf5\xe0", "an erofs filesystem"},
	{0, "hsqs", "a squashfs filesystem"},
	{512, "EFI PART", "a GPT partition table"},
	{4096, "\xfc\x4e\x2b\xa9", "a RAID member"},
	{510, "\x55\xaa", "a partition table or boot sector"},
}

const identifyLen = 68 << 10

// identify says what a disk holds: blank when its first 4 KiB, the part that
// decides for the kernel, and the places of all known signatures are zero.
func identify(d Disk) (string, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", d.Path, err)
	}
	defer f.Close()
	buf := make([]byte, identifyLen)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("look at %s: %w", d.Path, err)
	}
	buf = buf[:n]
	if n >= dmthin.MetaBlockSize && dmthin.IsSuperblock(buf[:dmthin.MetaBlockSize]) {
		return pooled, nil
	}
	for _, s := range signatures {
		if end := s.at + len(s.magic); end <= len(buf) && string(buf[s.at:end]) == s.magic {
			return s.what, nil
		}
	}
	if len(bytes.Trim(buf[:min(n, dmthin.MetaBlockSize)], "\x00")) > 0 {
		return "data of an unknown kind", nil
	}
	return blank, nil
}

// Vacant is a *ForeignError when a disk is in use, or holds anything that is known,
// or anything at its beginning. It changes nothing.
func Vacant(d Disk) error {
	f, err := os.OpenFile(d.Path, os.O_RDONLY|syscall.O_EXCL, 0)
	if errors.Is(err, syscall.EBUSY) {
		return &ForeignError{Path: d.Path, Holds: "what somebody uses now: it is mounted or part of another device", Cure: "choose another device"}
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", d.Path, err)
	}
	defer f.Close()
	kind, err := identify(d)
	if err == nil && kind == blank {
		kind, err = identifyData(f)
	}
	if err != nil {
		return err
	}
	if kind != blank {
		return &ForeignError{Path: d.Path, Holds: kind}
	}
	return nil
}

// A pool's data has no label. It is known by the filesystems in it: the superblock
// of the first one is in one of the first blocks, which are filled in order.
const (
	dataLooked = 16 << 20
	dataStep   = 64 << 10 // what block sizes are multiples of
)

// identifyData looks for a filesystem in the first blocks of a pool.
func identifyData(f *os.File) (string, error) {
	buf := make([]byte, 2<<10)
	for at := int64(0); at < dataLooked; at += dataStep {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("look at %s: %w", f.Name(), err)
		}
		if n < len(buf) {
			break
		}
		for _, s := range signatures[:2] { // ext4 and xfs
			if string(buf[s.at:s.at+len(s.magic)]) == s.magic {
				return fmt.Sprintf("%s at byte %d, as the data of a thin pool does", s.what, at), nil
			}
		}
	}
	return blank, nil
}

// Wipe makes the disks of a pool blank again, as far as Vacant looks, which destroys
// the pool. When the first does not hold a pool's metadata both are left alone. A
// disk that is in use, as by a live pool, is syscall.EBUSY.
func Wipe(metadata, data string) error {
	kind, err := identify(Disk{Path: metadata})
	if err != nil || kind != pooled {
		return err
	}
	// As long as the metadata is there a crash leaves something to be repeated.
	if err := wipe(data, dataLooked); err != nil {
		return err
	}
	return wipe(metadata, dmthin.MetaBlockSize)
}

func wipe(path string, n int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_EXCL, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.WriteAt(make([]byte, min(n, size)), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
