package devmapper

import (
	"errors"
	"strings"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Entry is one device in a list.
type Entry struct {
	Name  string // not a Name: other programs name devices as they like
	Dev   DevNo
	Event uint32 // 0 before interface 4.37
	UUID  string // "" when the device has none or, from List, the interface is older than 4.44
}

// Versions of the interface that tell more in a list (include/uapi/linux/dm-ioctl.h).
const (
	listsEvents = 37
	listsUUIDs  = 44
	listFilters = 45
)

// List gives every device whose name begins with prefix, in the kernel's order.
func (c *Client) List(prefix string) ([]Entry, error) { return c.list(prefix, "") }

// ListUUID gives every device whose UUID begins with prefix, in the kernel's order. Where
// the kernel's list has no UUIDs, before interface 4.44, each device is asked for its own.
func (c *Client) ListUUID(prefix string) ([]Entry, error) { return c.list("", prefix) }

func (c *Client) list(name, uuid string) ([]Entry, error) {
	entries, err := c.listAll(name, uuid)
	if err != nil {
		return nil, err
	}
	withUUIDs, err := c.atLeast(listsUUIDs)
	if err != nil {
		return nil, err
	}
	wanted := entries[:0]
	for _, e := range entries {
		if !strings.HasPrefix(e.Name, name) {
			continue
		}
		if uuid != "" && !withUUIDs {
			info, err := c.Info(ByDev(e.Dev))
			if errors.Is(err, ErrNotExist) {
				continue // it went away meanwhile
			}
			if err != nil {
				return nil, err
			}
			e.Name, e.UUID = info.Name.s, info.UUID.s
		}
		if strings.HasPrefix(e.UUID, uuid) {
			wanted = append(wanted, e)
		}
	}
	return wanted, nil
}

// listAll asks for the list. Kernels before interface 4.45 filter nothing.
func (c *Client) listAll(name, uuid string) ([]Entry, error) {
	trailer, err := c.atLeast(listsEvents)
	if err != nil {
		return nil, err
	}
	k := call{cmd: uapi.ListDevices, reply: true, flags: uapi.FlagUUID}
	filtered, err := c.atLeast(listFilters)
	if err != nil {
		return nil, err
	}
	if filtered {
		k.rawName, k.rawUUID = name, uuid
	}
	_, data, err := c.do(k)
	if err != nil {
		return nil, err
	}
	names, err := uapi.ParseNames(data, trailer)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(names))
	for i, n := range names {
		entries[i] = Entry{Name: n.Name, Dev: devNoFromHuge(n.Dev), Event: n.EventNr, UUID: n.UUID}
	}
	return entries, nil
}
