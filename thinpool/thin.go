package thinpool

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
)

// ActivateThin makes the block device of a thin device, size bytes long, or finds it
// active already. What a process that died left half done is finished: a device without a
// table, one that is suspended, one that is smaller than size. A removal at the last close
// is called off. ErrNoThin says that the pool has no such id; no device is left then.
func (p *Pool) ActivateThin(id dmthin.ThinID, size uint64, mode devmapper.Mode) (*Live, error) {
	name, uuid, err := p.thinIdentity(id)
	if err != nil {
		return nil, err
	}
	table, err := p.thinTable(id, size)
	if err != nil {
		return nil, err
	}
	p.tables.RLock()
	defer p.tables.RUnlock()
	a := &activation{dm: p.dm, name: name, uuid: uuid, table: table, mode: mode}
	a.finish = func(info devmapper.Info) (devmapper.Info, error) { return p.finishThin(a, info) }
	info, err := a.run()
	if err != nil {
		return nil, fmt.Errorf("activate thin %s of pool %s: %w", id, p.name, absent(err))
	}
	live := liveFrom(id, info)
	live.ReadOnly = mode == devmapper.ReadOnly
	return live, nil
}

// finishThin brings a thin device that has a table to the wanted mode and to at least the
// wanted size. It may be in use, so it is never made smaller.
func (p *Pool) finishThin(a *activation, info devmapper.Info) (devmapper.Info, error) {
	have, err := p.dm.Table(a.ref())
	if err != nil {
		return info, err
	}
	want := a.table[0].Target.(devmapper.Thin)
	if len(have) != 1 || have[0].Target != devmapper.Target(want) {
		return info, &ForeignError{Path: "the device " + a.name.String(), Holds: "something else than this thin device: " + have.String(), Cure: otherName}
	}
	switch {
	case info.ReadOnly != bool(a.mode) || have.Length() < a.table.Length():
		table := devmapper.Single(max(have.Length(), a.table.Length()), want)
		err = swap(p.dm, a.ref(), table, a.mode)
	case info.Suspended:
		err = resumeTwice(p.dm, a.ref())
	}
	info.ReadOnly, info.Suspended = bool(a.mode), false
	return info, err
}

func (p *Pool) thinTable(id dmthin.ThinID, size uint64) (devmapper.Table, error) {
	length, err := devmapper.SectorsFromBytes(size)
	if err != nil {
		return nil, err
	}
	return devmapper.Single(length, devmapper.Thin{Pool: p.dev, ID: uint32(id)}), nil
}

// ResizeThin gives an active thin device a new size in bytes, while it is in use.
func (p *Pool) ResizeThin(id dmthin.ThinID, size uint64) error {
	_, uuid, err := p.thinIdentity(id)
	if err != nil {
		return err
	}
	table, err := p.thinTable(id, size)
	if err != nil {
		return err
	}
	p.tables.RLock()
	defer p.tables.RUnlock()
	if err := swap(p.dm, devmapper.ByUUID(uuid), table, devmapper.ReadWrite); err != nil {
		return fmt.Errorf("resize thin %s of pool %s: %w", id, p.name, err)
	}
	return nil
}

// ThinStatus asks an active thin device what it has mapped.
func (p *Pool) ThinStatus(id dmthin.ThinID) (ThinStatus, error) {
	_, uuid, err := p.thinIdentity(id)
	if err != nil {
		return ThinStatus{}, err
	}
	lines, err := p.dm.Status(devmapper.ByUUID(uuid))
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
// are reported. Without an active device f is not called: devmapper.ErrNotExist.
func (p *Pool) WithSuspended(id dmthin.ThinID, f func() error) error {
	_, uuid, err := p.thinIdentity(id)
	if err != nil {
		return err
	}
	ref := devmapper.ByUUID(uuid)
	info, err := p.dm.SuspendInfo(ref, 0)
	if err != nil {
		return fmt.Errorf("suspend thin %s of pool %s: %w", id, p.name, err)
	}
	if info.Active && info.Inactive {
		// Staged by a process that died; the resume would activate it.
		err = p.dm.Clear(ref)
	}
	if err == nil {
		err = f()
	}
	// A device that went away at its last close is not suspended any more.
	if resume := absentIsFine(resumeTwice(p.dm, ref)); resume != nil {
		err = errors.Join(err, fmt.Errorf("thin %s of pool %s is left suspended: %w; resume it with \"veneer doctor --fix\"", id, p.name, resume))
	}
	return err
}
