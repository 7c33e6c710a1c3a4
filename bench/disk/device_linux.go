package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/bytesize"
)

// probed is how much of both ends of a part is written over: filesystems, partition
// tables, LVM and swap all leave their marks there.
const probed = 1 << 20

// Device gives disks that are slices of a block device, whose content is lost. A device
// that is in use is ErrForeign.
func Device(run *Folder, path string) (*Source, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, fmt.Errorf("%s is not a block device; give a folder with --store", path)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s %w, mounted or part of another device, and is not touched", path, ErrForeign)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", path, err)
	}
	return &Source{run: run, device: path, size: uint64(size), devNo: devmapper.DevNo{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}}, nil
}

// slice is the parts of a disk that is a slice of a device.
type slice struct {
	source *Source
	name   string
	at     span
	used   uint64 // sectors
	parts  []part
}

type part struct {
	name devmapper.Name
	dev  devmapper.DevNo
}

func (d *slice) Size() uint64 { return d.at.length * devmapper.SectorSize }

func (d *slice) Part(_ context.Context, name string, size uint64) (string, error) {
	length := size / devmapper.SectorSize
	if size == 0 {
		length = d.at.length - d.used
	}
	if length > d.at.length-d.used {
		return "", fmt.Errorf("a disk of %s is %w for a part of %s", bytesize.Format(d.Size()), ErrTooSmall, bytesize.Format(size))
	}
	full, err := devmapper.NewName(d.name + "-" + name)
	if err != nil {
		return "", err
	}
	dm, err := devmapper.Open()
	if err != nil {
		return "", err
	}
	defer func() { _ = dm.Close() }() // nothing was written to it
	table := devmapper.Single(devmapper.Sectors(length), devmapper.Linear{Dev: d.source.devNo, Offset: devmapper.Sectors(d.at.start + d.used)})
	info, err := dm.Activate(full, devmapper.UUID{}, table, devmapper.ReadWrite)
	if err != nil {
		return "", err
	}
	d.used += length
	d.parts = append(d.parts, part{full, info.Dev})
	path := "/dev/dm-" + strconv.FormatUint(uint64(info.Dev.Minor), 10)
	return path, wipe(path)
}

// wipe makes a part blank again: what an earlier store left would be taken for content.
func wipe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, 2)
	if err == nil {
		err = zero(f, size)
	}
	return errors.Join(err, f.Close())
}

// zero discards a device where it can, so that it is as empty as a new one, and writes
// zeros where filesystems look for others.
func zero(f *os.File, size int64) error {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, size)
	buf := make([]byte, min(probed, size))
	for _, at := range []int64{0, size - int64(len(buf))} {
		if _, err := f.WriteAt(buf, at); err != nil {
			return fmt.Errorf("make %s blank: %w", f.Name(), err)
		}
	}
	return f.Sync()
}

func (d *slice) Count() (total bench.IO, err error) {
	for _, p := range d.parts {
		if err := addCount(&total, "dm-"+strconv.FormatUint(uint64(p.dev.Minor), 10)); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (d *slice) Close(context.Context) error {
	dm, err := devmapper.Open()
	if err != nil {
		return err
	}
	defer func() { _ = dm.Close() }() // nothing was written to it
	var errs []error
	for _, p := range d.parts {
		_ = wipe(filepath.Join("/dev", "dm-"+strconv.FormatUint(uint64(p.dev.Minor), 10))) // best left blank
		if err := dm.Remove(devmapper.ByName(p.name)); err != nil && !errors.Is(err, devmapper.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	d.source.release(d.at)
	d.parts, d.used = nil, 0
	return errors.Join(errs...)
}

// ours tells whether a device-mapper name belongs to a run.
func ours(name, run string) bool { return strings.HasPrefix(name, run+"-") }
