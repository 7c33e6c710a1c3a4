package devmapper

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Info is the state of a device at one moment.
type Info struct {
	Name            Name
	UUID            UUID
	Dev             DevNo
	OpenCount       int    // openers and mounts
	Event           uint32 // counts the device's events
	Targets         int    // lines in the active table
	ReadOnly        bool
	Suspended       bool
	Active          bool // has an active table
	Inactive        bool // has a staged table
	DeferredRemove  bool // goes away at its last close
	InternalSuspend bool // held by the kernel, for instance through a suspended pool
}

func infoFrom(h uapi.Header) Info {
	// The kernel lets other programs choose any name; those that could not be
	// ours are shown as they are.
	return Info{
		Name:            Name{h.Name},
		UUID:            UUID{h.UUID},
		Dev:             devNoFromHuge(h.Dev),
		OpenCount:       int(h.OpenCount),
		Event:           h.EventNr,
		Targets:         int(h.TargetCount),
		ReadOnly:        h.Flags&uapi.FlagReadOnly != 0,
		Suspended:       h.Flags&uapi.FlagSuspend != 0,
		Active:          h.Flags&uapi.FlagActivePresent != 0,
		Inactive:        h.Flags&uapi.FlagInactivePresent != 0,
		DeferredRemove:  h.Flags&uapi.FlagDeferredRemove != 0,
		InternalSuspend: h.Flags&uapi.FlagInternalSuspend != 0,
	}
}

// Create makes a device without a table. ErrExist says that the name or the UUID is
// taken. The zero UUID is none.
func (c *Client) Create(name Name, uuid UUID) (Info, error) {
	info, err := c.create(name, uuid)
	if err != nil {
		return Info{}, err
	}
	if err := c.nodes.make(name, info.Dev); err != nil {
		_, _, undo := c.do(call{cmd: uapi.DevRemove, ref: ByName(name), event: udevFlags})
		return Info{}, errors.Join(err, undo)
	}
	return info, nil
}

func (c *Client) create(name Name, uuid UUID) (Info, error) {
	h, _, err := c.do(call{cmd: uapi.DevCreate, rawName: name.s, rawUUID: uuid.s})
	if err != nil {
		return Info{}, err
	}
	return infoFrom(h), nil
}

// Remove takes a device away. ErrBusy says that it is open, ErrNotExist that it
// was gone already.
func (c *Client) Remove(ref Ref) error {
	_, err := c.remove(ref, 0)
	return err
}

// RemoveDeferred takes a device away now, or at its last close if it is open.
// removed says which. It wants interface 4.27.
func (c *Client) RemoveDeferred(ref Ref) (removed bool, err error) {
	return c.remove(ref, uapi.FlagDeferredRemove)
}

func (c *Client) remove(ref Ref, flags uapi.Flags) (removed bool, err error) {
	h, _, err := c.do(call{cmd: uapi.DevRemove, ref: ref, flags: flags, event: udevFlags})
	if err != nil {
		if errors.Is(err, ErrNotExist) && ref.name.s != "" {
			// A deferred removal ends in the kernel, which knows no nodes.
			if stale := c.RemoveStaleNode(ref.name); stale != nil && !errors.Is(stale, ErrExist) {
				err = errors.Join(err, stale)
			}
		}
		return false, err
	}
	// Only a device that is gone sends a uevent; a deferred one keeps its flag.
	if flags&uapi.FlagDeferredRemove != 0 && h.Flags&uapi.FlagDeferredRemove != 0 && h.Flags&uapi.FlagUeventGenerated == 0 {
		return false, nil
	}
	name := ref.name
	if name.s == "" {
		name = Name{h.Name}
	}
	return true, c.nodes.remove(name)
}

// CancelDeferredRemove keeps a device that was to go away at its last close.
// ErrBusy says that it is going already.
func (c *Client) CancelDeferredRemove(ref Ref) error {
	_, err := c.Message(ref, 0, "@cancel_deferred_remove")
	return err
}

// Rename gives the device another name. ErrExist says that it is taken.
func (c *Client) Rename(from, to Name) error {
	_, _, err := c.do(call{
		cmd: uapi.DevRename, ref: ByName(from), event: udevFlags,
		payload: uapi.AppendString(nil, to.s), detail: "to " + to.s, reply: true,
	})
	if err != nil {
		return err
	}
	info, err := c.Info(ByName(to))
	if err != nil {
		return err
	}
	return errors.Join(c.nodes.make(to, info.Dev), c.nodes.remove(from))
}

// Info asks the state of a device.
func (c *Client) Info(ref Ref) (Info, error) {
	h, _, err := c.do(call{cmd: uapi.DevStatus, ref: ref})
	if err != nil {
		return Info{}, err
	}
	return infoFrom(h), nil
}

// SuspendFlags change how a device is suspended.
type SuspendFlags uint32

const (
	// SkipLockFS does not freeze a mounted filesystem first.
	SkipLockFS = SuspendFlags(uapi.FlagSkipLockFS)
	// NoFlush does not wait for I/O in flight: it is held back instead.
	NoFlush = SuspendFlags(uapi.FlagNoFlush)
)

// Suspend holds the device's I/O back. Without flags it freezes a mounted
// filesystem and waits for all I/O, so that what is on the device is whole.
// Suspending a suspended device is not an error.
func (c *Client) Suspend(ref Ref, flags SuspendFlags) error {
	_, err := c.SuspendInfo(ref, flags)
	return err
}

// SuspendInfo is Suspend that gives the device's state afterwards, such as whether a
// table is staged that a resume would activate.
func (c *Client) SuspendInfo(ref Ref, flags SuspendFlags) (Info, error) {
	h, _, err := c.do(call{cmd: uapi.DevSuspend, ref: ref, flags: uapi.FlagSuspend | uapi.Flags(flags)})
	if err != nil {
		return Info{}, err
	}
	return infoFrom(h), nil
}

// Resume makes a staged table the active one and lets I/O go on. Swapping a
// table suspends the device around the swap.
func (c *Client) Resume(ref Ref) error { return c.ResumeFlags(ref, 0) }

// ResumeFlags is Resume with flags for the suspend around a table swap.
func (c *Client) ResumeFlags(ref Ref, flags SuspendFlags) error {
	_, err := c.resume(ref, flags)
	return err
}

func (c *Client) resume(ref Ref, flags SuspendFlags) (Info, error) {
	h, _, err := c.do(call{cmd: uapi.DevSuspend, ref: ref, flags: uapi.Flags(flags), event: udevFlags, detail: "resume"})
	if err != nil {
		return Info{}, err
	}
	return infoFrom(h), nil
}

// Activate creates a device, loads its table and resumes it. When a step fails the
// earlier ones are undone.
func (c *Client) Activate(name Name, uuid UUID, table Table, mode Mode) (Info, error) {
	info, err := c.create(name, uuid)
	if err != nil {
		return Info{}, err
	}
	if err = c.Load(ByName(name), table, mode); err == nil {
		info, err = c.resume(ByName(name), 0)
	}
	if err == nil {
		// Since Linux 5.15 there is nothing for a link to lead to before the first table.
		err = c.nodes.make(name, info.Dev)
	}
	if err != nil {
		if undo := c.Remove(ByName(name)); undo != nil {
			err = fmt.Errorf("%w; and taking the device away again: %w", err, undo)
		}
		return Info{}, err
	}
	return info, nil
}
