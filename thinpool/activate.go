package thinpool

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
)

// activationAttempts bounds how often an activation begins again because the device that
// it met went away meanwhile. Each needs another removal at that moment, so that more than
// two are hardly ever needed.
const activationAttempts = 10

// activation is a device to be made, or found as a process that died left it.
type activation struct {
	dm    *devmapper.Client
	name  devmapper.Name
	uuid  devmapper.UUID
	table devmapper.Table
	mode  devmapper.Mode
	// verify, if any, is called once before the table is loaded into a device that has none.
	verify func() error
	// finish brings a device that has our UUID and a table to the state that is wanted.
	finish func(devmapper.Info) (devmapper.Info, error)

	loaded bool // run loaded the table into a device that had none
}

func (a *activation) ref() devmapper.Ref { return devmapper.ByUUID(a.uuid) }

// run makes the device, or finishes the one that is there. A device that is to go away at
// its last close may go at any moment, between two operations on it too: then it is made.
func (a *activation) run() (info devmapper.Info, err error) {
	for range activationAttempts {
		info, err = a.make()
		if !errors.Is(err, devmapper.ErrExist) {
			a.loaded = err == nil
			return info, err
		}
		taken := err
		info, err = a.dm.Info(a.ref())
		if errors.Is(err, devmapper.ErrNotExist) {
			if err = a.nameTaken(); err != nil {
				return info, err
			}
			err = taken
			continue
		}
		if err == nil {
			info, err = a.prepare(info)
		}
		if err == nil {
			return info, nil
		}
		if _, gone := a.dm.Info(a.ref()); !errors.Is(gone, devmapper.ErrNotExist) {
			return info, err
		}
	}
	return info, err
}

// make activates a new device. What must be verified first takes its time, so it is not
// done in vain: ErrExist when there is a device already, *ForeignError when its name is
// taken.
func (a *activation) make() (devmapper.Info, error) {
	if a.verify != nil {
		info, err := a.dm.Info(a.ref())
		if err == nil {
			return info, devmapper.ErrExist
		}
		if !errors.Is(err, devmapper.ErrNotExist) {
			return info, err
		}
		if err := a.nameTaken(); err != nil {
			return info, err
		}
		if err := a.verified(); err != nil {
			return info, err
		}
	}
	return a.dm.Activate(a.name, a.uuid, a.table, a.mode)
}

func (a *activation) verified() error {
	if a.verify == nil {
		return nil
	}
	err := a.verify()
	if err == nil {
		a.verify = nil
	}
	return err
}

// nameTaken is a *ForeignError when the name belongs to a device that is not ours, and nil
// when no device has it any more.
func (a *activation) nameTaken() error {
	info, err := a.dm.Info(devmapper.ByName(a.name))
	if errors.Is(err, devmapper.ErrNotExist) || err == nil && info.UUID == a.uuid {
		return nil
	}
	if err != nil {
		return err
	}
	return &ForeignError{Path: "the device-mapper name " + a.name.String(), Holds: fmt.Sprintf("a device of another owner (UUID %q)", info.UUID), Cure: otherName}
}

// prepare undoes what others may have done to a device of ours: a new name, a missing
// node, a removal at the last close, a table that was staged and never activated.
func (a *activation) prepare(info devmapper.Info) (devmapper.Info, error) {
	if info.Name != a.name {
		if err := a.dm.Rename(info.Name, a.name); err != nil {
			return info, fmt.Errorf("the device %s has another name, %s, and cannot be renamed: %w", a.name, info.Name, err)
		}
		info.Name = a.name
	}
	if err := a.dm.MakeNode(a.name, info.Dev); err != nil {
		return info, err
	}
	if info.DeferredRemove {
		if err := a.dm.CancelDeferredRemove(a.ref()); err != nil {
			return info, err
		}
		info.DeferredRemove = false
	}
	if info.Active && info.Inactive {
		if err := a.dm.Clear(a.ref()); err != nil {
			return info, err
		}
		info.Inactive = false
	}
	if !info.Active {
		return a.complete(info)
	}
	return a.finish(info)
}

// complete loads the table of a device that has none. When it cannot be loaded the device
// is taken away, as after a failed activation.
func (a *activation) complete(info devmapper.Info) (devmapper.Info, error) {
	err := a.verified()
	if err == nil {
		err = a.dm.Load(a.ref(), a.table, a.mode)
	}
	if err == nil {
		err = a.dm.Resume(a.ref())
	}
	if err != nil {
		if undo := a.dm.Remove(a.ref()); undo != nil && !errors.Is(undo, devmapper.ErrNotExist) {
			err = fmt.Errorf("%w; and taking the device away again: %w", err, undo)
		}
		return info, err
	}
	a.loaded = true
	info.Active, info.Suspended, info.ReadOnly = true, false, bool(a.mode)
	return info, nil
}

// swap puts another table under a device that may be in use. The kernel suspends the
// device for it, and leaves it so when that goes wrong (do_resume in
// drivers/md/dm-ioctl.c).
func swap(dm *devmapper.Client, ref devmapper.Ref, table devmapper.Table, mode devmapper.Mode) error {
	if err := dm.Load(ref, table, mode); err != nil {
		return err
	}
	err := dm.Resume(ref)
	if err == nil {
		return nil
	}
	err = errors.Join(err, dm.Clear(ref))
	if resume := resumeTwice(dm, ref); resume != nil {
		err = errors.Join(err, fmt.Errorf("it is left suspended: %w; resume it with \"veneer doctor --fix\"", resume))
	}
	return err
}
