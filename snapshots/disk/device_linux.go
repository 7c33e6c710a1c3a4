package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/thinpool"
)

// Device describes a block device. What is none is class.Invalid.
func Device(path string) (thinpool.Disk, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return thinpool.Disk{}, fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return thinpool.Disk{}, fmt.Errorf("%w: %s is not a block device", class.Invalid, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return thinpool.Disk{}, err
	}
	size, err := f.Seek(0, io.SeekEnd) // the device's size, without an ioctl
	if err := errors.Join(err, f.Close()); err != nil {
		return thinpool.Disk{}, fmt.Errorf("size of %s: %w", path, err)
	}
	return thinpool.Disk{
		Path: path, Dev: devmapper.DevNo{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)},
		Size: devmapper.Sectors(size / devmapper.SectorSize),
	}, nil
}

// BackedBelow says whether a device is a loop device over a file below a folder.
func BackedBelow(dev devmapper.DevNo, folder string) bool {
	file, err := os.ReadFile("/sys/dev/block/" + dev.String() + "/loop/backing_file")
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	return strings.HasPrefix(string(file), strings.TrimRight(folder, "/")+"/")
}
