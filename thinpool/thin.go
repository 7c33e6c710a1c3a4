package thinpool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Live is an active thin device.
type Live struct {
	ID        dmthin.ThinID
	Name      devmapper.Name
	Dev       devmapper.DevNo
	OpenCount int
	ReadOnly  bool
	Suspended bool
	Deferred  bool // goes away at its last close
}

// Path is where the device's node stands.
func (l Live) Path() string { return l.Name.Path() }

// DevicePath is where a thin device's node stands while it is active.
func (p *Pool) DevicePath(id dmthin.ThinID) string { return "/dev/mapper/" + thinName(p.name, id) }

func (p *Pool) thinRef(id dmthin.ThinID) (devmapper.Name, devmapper.UUID, error) {
	name, err := devmapper.NewName(thinName(p.name, id))
	if err != nil {
		return name, devmapper.UUID{}, err
	}
	uuid, err := devmapper.NewUUID(thinUUID(p.name, id))
	return name, uuid, err
}

func liveFrom(id dmthin.ThinID, info devmapper.Info) *Live {
	return &Live{
		ID: id, Name: info.Name, Dev: info.Dev, OpenCount: info.OpenCount,
		ReadOnly: info.ReadOnly, Suspended: info.Suspended, Deferred: info.DeferredRemove,
	}
}

// Lookup gives the active device of a thin id, or nil when there is none.
func (p *Pool) Lookup(id dmthin.ThinID) (*Live, error) {
	_, uuid, err := p.thinRef(id)
	if err != nil {
		return nil, err
	}
	info, err := p.dm.Info(devmapper.ByUUID(uuid))
	if errors.Is(err, devmapper.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return liveFrom(id, info), nil
}

// Lives lists the pool's active thin devices by their names, with their ids alone:
// Lookup has the state of one.
func (p *Pool) Lives() ([]dmthin.ThinID, error) {
	prefix := p.name + "-thin-"
	entries, err := p.dm.List(prefix)
	if err != nil {
		return nil, err
	}
	var ids []dmthin.ThinID
	for _, e := range entries {
		if id, err := dmthin.ParseThinID(strings.TrimPrefix(e.Name, prefix)); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// ActivateThin makes the block device of a thin device, size bytes long, or finds it
// active already. A device half made by a process that died is finished.
// ErrNoThin says that the pool has no such id.
func (p *Pool) ActivateThin(id dmthin.ThinID, size uint64, mode devmapper.Mode) (*Live, error) {
	name, uuid, err := p.thinRef(id)
	if err != nil {
		return nil, err
	}
	table, err := p.thinTable(id, size)
	if err != nil {
		return nil, err
	}
	p.tables.RLock()
	defer p.tables.RUnlock()
	info, err := p.dm.Activate(name, uuid, table, mode)
	if errors.Is(err, devmapper.ErrExist) {
		info, err = p.finish(name, uuid, table, mode)
	}
	if err != nil {
		return nil, fmt.Errorf("activate thin %s of pool %s: %w", id, p.name, absent(err))
	}
	live := liveFrom(id, info)
	live.ReadOnly = mode == devmapper.ReadOnly
	return live, nil
}

func (p *Pool) finish(name devmapper.Name, uuid devmapper.UUID, table devmapper.Table, mode devmapper.Mode) (devmapper.Info, error) {
	ref := devmapper.ByName(name)
	info, err := p.dm.Info(ref)
	if err != nil {
		return info, err
	}
	if info.UUID != uuid {
		return info, &ForeignError{Path: "the device-mapper name " + name.String(), Holds: fmt.Sprintf("a device of another owner (UUID %q)", info.UUID), Cure: otherName}
	}
	if err := p.dm.MakeNode(name, info.Dev); err != nil {
		return info, err
	}
	if info.DeferredRemove {
		if err := p.dm.CancelDeferredRemove(ref); err != nil {
			return info, err
		}
		info.DeferredRemove = false
	}
	if !info.Active || info.ReadOnly != (mode == devmapper.ReadOnly) {
		return info, p.swap(ref, table, mode)
	}
	if info.Suspended {
		return info, p.dm.Resume(ref)
	}
	return info, nil
}

func (p *Pool) thinTable(id dmthin.ThinID, size uint64) (devmapper.Table, error) {
	length, err := devmapper.SectorsFromBytes(size)
	if err != nil {
		return nil, err
	}
	return devmapper.Single(length, devmapper.Thin{Pool: p.dev, ID: uint32(id)}), nil
}

// DeactivateThin takes the block device of a thin device away. ErrBusy says that it is
// open; that it is not active is no error.
func (p *Pool) DeactivateThin(id dmthin.ThinID) error {
	name, _, err := p.thinRef(id)
	if err != nil {
		return err
	}
	if err := p.dm.Remove(devmapper.ByName(name)); err != nil && !errors.Is(err, devmapper.ErrNotExist) {
		return fmt.Errorf("deactivate thin %s of pool %s: %w", id, p.name, err)
	}
	return nil
}

// DeactivateThinDeferred takes the block device away now or at its last close. gone
// says that it is away now.
func (p *Pool) DeactivateThinDeferred(id dmthin.ThinID) (gone bool, err error) {
	name, _, err := p.thinRef(id)
	if err != nil {
		return false, err
	}
	gone, err = p.dm.RemoveDeferred(devmapper.ByName(name))
	if errors.Is(err, devmapper.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("deactivate thin %s of pool %s: %w", id, p.name, err)
	}
	return gone, nil
}

// ResizeThin gives an active thin device a new size in bytes, while it is in use.
func (p *Pool) ResizeThin(id dmthin.ThinID, size uint64) error {
	name, _, err := p.thinRef(id)
	if err != nil {
		return err
	}
	table, err := p.thinTable(id, size)
	if err != nil {
		return err
	}
	ref := devmapper.ByName(name)
	p.tables.RLock()
	defer p.tables.RUnlock()
	if err := p.swap(ref, table, devmapper.ReadWrite); err != nil {
		return fmt.Errorf("resize thin %s of pool %s: %w", id, p.name, err)
	}
	return nil
}

// swap puts another table under a device that may be in use. The kernel suspends the
// device for it, and leaves it so when that goes wrong (do_resume in
// drivers/md/dm-ioctl.c).
func (p *Pool) swap(ref devmapper.Ref, table devmapper.Table, mode devmapper.Mode) error {
	if err := p.dm.Load(ref, table, mode); err != nil {
		return err
	}
	err := p.dm.Resume(ref)
	if err == nil {
		return nil
	}
	err = errors.Join(err, p.dm.Clear(ref))
	if resume := p.resume(ref); resume != nil {
		err = errors.Join(err, fmt.Errorf("it is left suspended: %w; resume it with \"veneer doctor --fix\"", resume))
	}
	return err
}

// ThinStatus asks an active thin device what it has mapped.
func (p *Pool) ThinStatus(id dmthin.ThinID) (ThinStatus, error) {
	name, _, err := p.thinRef(id)
	if err != nil {
		return ThinStatus{}, err
	}
	lines, err := p.dm.Status(devmapper.ByName(name))
	if err != nil {
		return ThinStatus{}, err
	}
	if len(lines) != 1 {
		return ThinStatus{}, fmt.Errorf("%w: thin %s of pool %s has %d table lines", devmapper.ErrInvalid, id, p.name, len(lines))
	}
	return ParseThinStatus(lines[0].Status)
}

// WithSuspended suspends an active thin device, which freezes a filesystem mounted
// from it and flushes, calls f and resumes the device whatever f did. Both errors
// are reported.
func (p *Pool) WithSuspended(id dmthin.ThinID, f func() error) error {
	name, _, err := p.thinRef(id)
	if err != nil {
		return err
	}
	ref := devmapper.ByName(name)
	if err := p.dm.Suspend(ref, 0); err != nil {
		return fmt.Errorf("suspend thin %s of pool %s: %w", id, p.name, err)
	}
	err = f()
	if resume := p.resume(ref); resume != nil {
		err = errors.Join(err, fmt.Errorf("thin %s of pool %s is left suspended: %w; resume it with \"veneer doctor --fix\"", id, p.name, resume))
	}
	return err
}

// resume tries twice: a device that stays suspended hangs whatever uses it.
func (p *Pool) resume(ref devmapper.Ref) error {
	if err := p.dm.Resume(ref); err == nil {
		return nil
	}
	return p.dm.Resume(ref)
}

// ResumeThin lets the I/O of a suspended thin device go on.
func (p *Pool) ResumeThin(id dmthin.ThinID) error {
	name, _, err := p.thinRef(id)
	if err != nil {
		return err
	}
	return p.resume(devmapper.ByName(name))
}
