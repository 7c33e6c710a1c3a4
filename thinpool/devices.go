package thinpool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Devices are the device-mapper devices of one pool, which are known by their UUIDs. They
// can be listed and taken away whether or not the pool answers or is there at all. They
// are safe for concurrent use, but for two operations on the same thin device.
type Devices struct {
	dm   *devmapper.Client
	name string
}

// DevicesOf gives the devices of the pool of that name. It asks nothing.
func DevicesOf(dm *devmapper.Client, pool string) Devices { return Devices{dm: dm, name: pool} }

// Name is the pool's name, which begins the names of its thin devices.
func (d Devices) Name() string { return d.name }

// Live is an active thin device: one that the device-mapper has.
type Live struct {
	ID        dmthin.ThinID
	Name      devmapper.Name
	Dev       devmapper.DevNo
	OpenCount int
	// HasTable says that the device can be read. A process that died between making a
	// device and loading its table leaves one that cannot.
	HasTable  bool
	ReadOnly  bool
	Suspended bool
	Deferred  bool // goes away at its last close
}

// Path is where the device's node stands.
func (l Live) Path() string { return l.Name.Path() }

func liveFrom(id dmthin.ThinID, info devmapper.Info) *Live {
	return &Live{
		ID: id, Name: info.Name, Dev: info.Dev, OpenCount: info.OpenCount, HasTable: info.Active,
		ReadOnly: info.ReadOnly, Suspended: info.Suspended, Deferred: info.DeferredRemove,
	}
}

// DevicePath is where a thin device's node stands while it is active.
func (d Devices) DevicePath(id dmthin.ThinID) string { return "/dev/mapper/" + ThinName(d.name, id) }

// identity checks the name and the UUID of a device of ours.
func identity(name, uuid string) (devmapper.Name, devmapper.UUID, error) {
	n, err := devmapper.NewName(name)
	if err != nil {
		return n, devmapper.UUID{}, err
	}
	u, err := devmapper.NewUUID(uuid)
	return n, u, err
}

func (d Devices) thinIdentity(id dmthin.ThinID) (devmapper.Name, devmapper.UUID, error) {
	return identity(ThinName(d.name, id), thinUUID(d.name, id))
}

// info gives the state of the device that has a UUID, or nil when there is none.
func (d Devices) info(uuid devmapper.UUID) (*devmapper.Info, error) {
	info, err := d.dm.Info(devmapper.ByUUID(uuid))
	if errors.Is(err, devmapper.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// Lookup gives the active device of a thin id, or nil when there is none.
func (d Devices) Lookup(id dmthin.ThinID) (*Live, error) {
	_, uuid, err := d.thinIdentity(id)
	if err != nil {
		return nil, err
	}
	info, err := d.info(uuid)
	if info == nil || err != nil {
		return nil, err
	}
	return liveFrom(id, *info), nil
}

// ActiveThins lists the ids whose devices the device-mapper has, with a table or
// without, in the order of their names. Lookup has the state of one.
func (d Devices) ActiveThins() ([]dmthin.ThinID, error) {
	entries, err := d.dm.ListUUID(thinUUIDPrefix(d.name))
	if err != nil {
		return nil, err
	}
	var ids []dmthin.ThinID
	for _, e := range entries {
		if id, ok := ParseThinUUID(d.name, e.UUID); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// LookupPool gives the state of the pool's own device, or nil when there is none.
func (d Devices) LookupPool() (*devmapper.Info, error) {
	_, uuid, err := identity(d.name, poolUUID(d.name))
	if err != nil {
		return nil, err
	}
	return d.info(uuid)
}

// DeactivateThin takes the block device of a thin device away, with a table or without.
// ErrBusy says that it is open; that there is none is no error. One that is suspended is
// resumed if it is open: its users wait for I/O, and would never close it.
func (d Devices) DeactivateThin(id dmthin.ThinID) error {
	name, uuid, err := d.thinIdentity(id)
	if err == nil {
		err = d.remove(name, uuid)
	}
	if err != nil {
		return fmt.Errorf("deactivate thin %s of pool %s: %w", id, d.name, err)
	}
	return nil
}

// The pool's device may be busy for a moment after its last thin device has gone: a removal
// at the last close takes the name away first and lets go of the pool afterwards, in a
// worker of the kernel (dm_deferred_remove in drivers/md/dm.c). It is waited for.
const (
	letGoPoll     = 10 * time.Millisecond
	letGoAttempts = 500
)

// DeactivatePool takes the pool's own device away; what the pool keeps stays on its
// disks. That there is none is no error. ErrBusy says that thin devices are active, or
// that somebody else has the device; it waits for a removal of a thin device that is
// ending, no longer than ctx.
func (d Devices) DeactivatePool(ctx context.Context) error {
	name, uuid, err := identity(d.name, poolUUID(d.name))
	for attempt := 0; err == nil && attempt < letGoAttempts; attempt++ {
		failed := d.remove(name, uuid)
		if failed == nil {
			return nil
		}
		thins, look := d.ActiveThins()
		if !errors.Is(failed, devmapper.ErrBusy) || look != nil || len(thins) > 0 || attempt == letGoAttempts-1 {
			err = errors.Join(failed, look)
			break
		}
		select {
		case <-time.After(letGoPoll):
		case <-ctx.Done():
			err = errors.Join(failed, ctx.Err())
		}
	}
	if err != nil {
		return fmt.Errorf("deactivate pool %q: %w", d.name, err)
	}
	return nil
}

func (d Devices) remove(name devmapper.Name, uuid devmapper.UUID) error {
	err := d.dm.Remove(devmapper.ByUUID(uuid))
	switch {
	case errors.Is(err, devmapper.ErrNotExist):
		return d.removeStaleNode(name)
	case errors.Is(err, devmapper.ErrBusy):
		return errors.Join(err, d.resume(uuid))
	}
	return err
}

// removeStaleNode removes the node that a deferred removal left, for the kernel has none to
// remove. The node of another owner's device of that name stays.
func (d Devices) removeStaleNode(name devmapper.Name) error {
	if err := d.dm.RemoveStaleNode(name); err != nil && !errors.Is(err, devmapper.ErrExist) {
		return err
	}
	return nil
}

// DeactivateThinDeferred takes the block device of a thin device away, now or at its last
// close. gone says that it is away now. One that is suspended is resumed if it is open.
func (d Devices) DeactivateThinDeferred(id dmthin.ThinID) (gone bool, err error) {
	name, uuid, err := d.thinIdentity(id)
	if err == nil {
		gone, err = d.dm.RemoveDeferred(devmapper.ByUUID(uuid))
		switch {
		case errors.Is(err, devmapper.ErrNotExist):
			gone, err = true, d.removeStaleNode(name)
		case err == nil && !gone:
			err = d.resume(uuid)
		}
	}
	if err != nil {
		return false, fmt.Errorf("deactivate thin %s of pool %s: %w", id, d.name, err)
	}
	return gone, nil
}

// ResumeThin lets the I/O of a suspended thin device go on. That there is no device is no
// error: a deferred removal may just have ended.
func (d Devices) ResumeThin(id dmthin.ThinID) error {
	_, uuid, err := d.thinIdentity(id)
	if err == nil {
		err = d.resume(uuid)
	}
	if err != nil {
		return fmt.Errorf("resume thin %s of pool %s: %w", id, d.name, err)
	}
	return nil
}

// resume resumes a device with the table that it has, if it is suspended. A staged table,
// of a process that died before it resumed, is dropped first: a resume would activate it.
func (d Devices) resume(uuid devmapper.UUID) error {
	info, err := d.info(uuid)
	if err != nil || info == nil || !info.Suspended {
		return err
	}
	ref := devmapper.ByUUID(uuid)
	if info.Active && info.Inactive {
		if err := d.dm.Clear(ref); err != nil {
			return absentIsFine(err)
		}
	}
	return absentIsFine(resumeTwice(d.dm, ref))
}

// resumeTwice tries twice: a device that stays suspended hangs whatever uses it.
func resumeTwice(dm *devmapper.Client, ref devmapper.Ref) error {
	if err := dm.Resume(ref); err == nil {
		return nil
	}
	return dm.Resume(ref)
}

func absentIsFine(err error) error {
	if errors.Is(err, devmapper.ErrNotExist) {
		return nil
	}
	return err
}
