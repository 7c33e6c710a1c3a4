package filesystem

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/class"
)

// Mount is how to mount a snapshot. It is plain on purpose: virtual machine
// monitors pass Source to a guest as a disk.
type Mount struct {
	Type    string   // filesystem type for mount(2); "" for a device that holds none
	Source  string   // path of the block device
	Options []string // mount options, such as "ro", "nouuid" and "errors=remount-ro"
}

// Replay mounts the filesystem writable where nobody sees it, and unmounts it: the
// kernel replays the log, and the unmount leaves a clean one.
func Replay(_ context.Context, m Mount) error {
	tree, err := m.Open()
	if err != nil {
		return err
	}
	return tree.Close()
}

// possible refuses a device without a filesystem, which mount(2) would only call an
// unknown one.
func (m Mount) possible() error {
	if m.Type == "" {
		return fmt.Errorf("%w: %s holds no filesystem that can be mounted; use the block device itself", class.Invalid, m.Source)
	}
	return nil
}

func withMode(readOnly bool, options ...string) []string {
	if readOnly {
		return append(options, "ro")
	}
	return options
}
