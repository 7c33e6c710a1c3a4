package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/loopback"
)

// The classes of errors that a caller may want to tell apart with errors.Is.
var (
	// ErrTooSmall: the folder or device has no room for what was asked.
	ErrTooSmall = errors.New("too small")
	// ErrForeign: the device is used by somebody.
	ErrForeign = errors.New("is in use")
)

// A Source gives disks out.
type Source struct {
	run    *Folder
	device string // "" for files
	size   uint64 // of the device
	devNo  devmapper.DevNo

	mu    sync.Mutex
	taken []span // of the device
}

// span is a piece of a device, in sectors.
type span struct{ start, length uint64 }

// Files gives disks of sparse files in the run's folder.
func Files(run *Folder) *Source { return &Source{run: run} }

// String says in a few words what disks are made of.
func (s *Source) String() string {
	if s.device != "" {
		return "slices of " + s.device
	}
	var st unix.Statfs_t
	kind := "a filesystem"
	if unix.Statfs(s.run.Path, &st) == nil {
		//nolint:unconvert // it is 32 bits wide on some machines
		if name, ok := filesystems[int64(st.Type)]; ok {
			kind = name
		}
	}
	return "sparse files on " + kind + ", as loop devices with direct I/O"
}

var filesystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", 0x2fc12fc1: "zfs", 0x65735546: "a FUSE filesystem",
}

// Room is nil when so many disks of a size have room, else it wraps ErrTooSmall. Files
// are sparse: a quarter of what they could hold must be there.
func (s *Source) Room(disks int, size uint64) error {
	if s.device != "" {
		if need := uint64(disks) * size; s.size < need {
			return fmt.Errorf("%s is %w: it has %s, and %d disks of %s need %s; give fewer backends, or a smaller --size", s.device, ErrTooSmall, bytesize.Format(s.size), disks, bytesize.Format(size), bytesize.Format(need))
		}
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.run.Path, &st); err != nil {
		return fmt.Errorf("look at the space of %s: %w", s.run.Path, err)
	}
	if free, need := st.Bavail*uint64(st.Bsize), uint64(disks)*size/4; free < need {
		return fmt.Errorf("%s is %w: %s are free, and %d disks of %s want %s; name another folder with --store", filepath.Dir(s.run.Path), ErrTooSmall, bytesize.Format(free), disks, bytesize.Format(size), bytesize.Format(need))
	}
	return nil
}

// Disk makes a disk of a size in bytes.
func (s *Source) Disk(_ context.Context, name string, size uint64) (bench.Disk, error) {
	const unit = 1 << 20
	size = size / unit * unit
	if s.device == "" {
		return &files{dir: filepath.Join(s.run.Path, "disk-"+name), size: size}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.find(size / devmapper.SectorSize)
	if !ok {
		return nil, fmt.Errorf("%s is %w for another %s", s.device, ErrTooSmall, bytesize.Format(size))
	}
	s.taken = append(s.taken, at)
	return &slice{source: s, name: s.run.Name + "-" + name, at: at}, nil
}

// find looks for a gap, first fit.
func (s *Source) find(length uint64) (span, bool) {
	at := span{start: 2048, length: length} // past any label
	for again := true; again; {
		again = false
		for _, t := range s.taken {
			if at.start < t.start+t.length && t.start < at.start+at.length {
				at.start, again = t.start+t.length, true
			}
		}
	}
	return at, (at.start+at.length)*devmapper.SectorSize <= s.size
}

func (s *Source) release(at span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.taken {
		if t == at {
			s.taken = append(s.taken[:i], s.taken[i+1:]...)
			return
		}
	}
}

// files are the parts of a disk that is made of files.
type files struct {
	dir   string
	size  uint64
	used  uint64
	parts []loopback.Device
}

var loopOptions = loopback.Options{DirectIO: true, BlockSize: 4096}

func (f *files) Size() uint64 { return f.size }

func (f *files) Part(ctx context.Context, name string, size uint64) (string, error) {
	if size == 0 {
		size = f.size - f.used
	}
	if size > f.size-f.used {
		return "", fmt.Errorf("a disk of %s is %w for a part of %s", bytesize.Format(f.size), ErrTooSmall, bytesize.Format(size))
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(f.dir, name)
	if err := loopback.CreateImage(path, int64(size)); err != nil {
		return "", err
	}
	device, err := loopback.Attach(ctx, path, loopOptions)
	if err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	f.used += size
	f.parts = append(f.parts, device)
	return device.Path, nil
}

func (f *files) Count() (total bench.IO, err error) {
	for _, p := range f.parts {
		if err := addCount(&total, filepath.Base(p.Path)); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *files) Close(ctx context.Context) error {
	var errs []error
	for _, p := range f.parts {
		if err := p.Detach(ctx); err != nil && !errors.Is(err, loopback.ErrNotAttached) {
			errs = append(errs, err)
		}
	}
	f.parts, f.used = nil, 0
	return errors.Join(append(errs, os.RemoveAll(f.dir))...)
}
