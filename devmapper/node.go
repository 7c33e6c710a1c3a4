package devmapper

import (
	"errors"
	"fmt"
	"slices"
)

// udevFlags ride in the high half of event_nr and reach udev's rules as DM_COOKIE
// (lvm2, libdm/libdevmapper.h): PRIMARY_SOURCE, without which the rules take the
// event for a spurious one, and DISABLE_SUBSYSTEM, DISABLE_DISK and DISABLE_OTHER,
// so that no scanner opens a container's device. The low half, the semaphore to
// wait on, stays 0: nothing here waits for udev.
const udevFlags = (0x40 | 0x02 | 0x04 | 0x08) << 16

// nodes keeps /dev/mapper in step with the kernel.
type nodes interface {
	make(Name, DevNo) error
	remove(Name) error
	// has reports whether there is a link or a device of that name.
	has(Name) (bool, error)
	// list gives the names of all links and block devices.
	list() ([]string, error)
}

type noNodes struct{}

func (noNodes) make(Name, DevNo) error  { return nil }
func (noNodes) remove(Name) error       { return nil }
func (noNodes) has(Name) (bool, error)  { return false, nil }
func (noNodes) list() ([]string, error) { return nil, nil }

// MakeNode makes the node of a device in /dev/mapper, if it is not there: a process
// that died within Create or Activate may not have made it.
func (c *Client) MakeNode(name Name, dev DevNo) error { return c.nodes.make(name, dev) }

// StaleNodes gives the links and block devices in /dev/mapper whose name match accepts
// and for which there is no device of that name, in alphabetical order. Without udev a
// removal at a device's last close leaves one, and so does a process that dies within
// Remove. A device may get its name meanwhile: RemoveStaleNode looks again.
func (c *Client) StaleNodes(match func(name string) bool) ([]Name, error) {
	all, err := c.nodes.list()
	if err != nil {
		return nil, err
	}
	var found []Name
	for _, s := range all {
		if name, err := NewName(s); err == nil && match(s) {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	// The devices are listed after the nodes: one that is there now is not stale.
	devices, err := c.List("")
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(devices))
	for _, d := range devices {
		names[d.Name] = true
	}
	return slices.DeleteFunc(found, func(n Name) bool { return names[n.s] }), nil
}

// RemoveStaleNode removes a node from /dev/mapper unless there is a device of its name:
// that is ErrExist, and the device has its node when RemoveStaleNode returns. That there
// is no node is no error. What is neither a link nor a block device is left, with an error.
func (c *Client) RemoveStaleNode(name Name) error {
	there, err := c.nodes.has(name)
	if err != nil || !there {
		return err
	}
	if info, err := c.Info(ByName(name)); err == nil {
		return fmt.Errorf("%w: the node %s belongs to the device %s", ErrExist, name, info.Dev)
	} else if !errors.Is(err, ErrNotExist) {
		return err
	}
	if err := c.nodes.remove(name); err != nil {
		return err
	}
	// A device that was made since the first look may have lost its node to this removal.
	// One that is made after the second look gets its node after it.
	info, err := c.Info(ByName(name))
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(fmt.Errorf("%w: a device %s got the name %s meanwhile", ErrExist, info.Dev, name), c.nodes.make(name, info.Dev))
}
