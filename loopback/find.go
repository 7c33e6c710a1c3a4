package loopback

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// List describes every attached loop device, by number. A device that is detached
// while List looks is left out.
func List() ([]Device, error) {
	// The folder "loop" is there exactly while a device has a backing file.
	bound, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, failure("list", "/sys/block", err)
	}
	var devices []Device
	for _, folder := range bound {
		number, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(folder)), "loop"))
		if err != nil {
			continue // some other driver's name
		}
		d, err := describe(number)
		if errors.Is(err, ErrNotAttached) {
			continue
		}
		if err != nil {
			return nil, failure("look at", nodePath(number), err)
		}
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b Device) int { return a.Number - b.Number })
	return devices, nil
}

// Find describes the loop devices that a file backs, by number. The result is
// empty when there are none. More than one writable device over one file is a
// danger to its content: each has caches of its own.
func Find(file string) ([]Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return nil, failure("find the loop device of", file, err)
	}
	devices, err := List()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(devices, func(d Device) bool { return !d.backs(st.Dev, st.Ino) }), nil
}
