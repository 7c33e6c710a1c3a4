package dmtest

import (
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

func (k *Kernel) load(d *device, h *uapi.Header, payload []byte) error {
	lines, err := uapi.ParseTable(payload, h.TargetCount)
	if err != nil || len(lines) == 0 {
		return syscall.EINVAL
	}
	t := &table{lines: lines, readOnly: h.Flags&uapi.FlagReadOnly != 0}
	for i := range lines {
		if err := k.construct(d, t, &lines[i]); err != nil {
			k.drop(t)
			return err
		}
	}
	// thin-pool is immutable: only another thin-pool may take its place.
	if d.active != nil && d.active.lines[0].Type == "thin-pool" && lines[0].Type != "thin-pool" {
		k.drop(t)
		return syscall.EINVAL
	}
	k.drop(d.inactive)
	d.inactive = t
	k.publish(d)
	h.TargetCount = 0
	return nil
}

// construct is a target's constructor: it checks parameters and takes hold of
// what the target stands on.
func (k *Kernel) construct(d *device, t *table, line *uapi.Target) error {
	target, err := devmapper.ParseTarget(line.Type, line.Params)
	if err != nil {
		return syscall.EINVAL
	}
	t.targets = append(t.targets, target)
	switch target := target.(type) {
	case devmapper.ThinPool:
		return k.constructPool(d, t, line, target)
	case devmapper.Thin:
		return k.constructThin(t, target)
	case devmapper.Linear:
		return k.hold(t, target.Dev)
	case devmapper.Zero, devmapper.Fault:
		return nil
	default:
		return syscall.EINVAL // as for a target whose module is not there
	}
}

// hold opens the device that a table stands on.
func (k *Kernel) hold(t *table, dev devmapper.DevNo) error {
	if _, ok := k.disks[dev]; ok {
		return nil
	}
	for _, d := range k.devices {
		if d.dev() == dev {
			d.open++
			t.holds = append(t.holds, d)
			return nil
		}
	}
	return syscall.ENXIO
}

// drop is a target's destructor.
func (k *Kernel) drop(t *table) {
	if t == nil {
		return
	}
	if t.thin != nil {
		t.thin.active--
	} else if t.pool != nil {
		t.pool.tables--
		if t.pool.tables == 0 {
			t.pool.user = nil
		}
	}
	for _, d := range t.holds {
		k.release(d)
	}
}

func (k *Kernel) resume(d *device) error {
	if d.inactive != nil {
		if p := d.inactive.pool; p != nil && d.inactive.thin == nil {
			if err := k.resumePool(d, p, d.inactive); err != nil {
				return err
			}
		}
		k.drop(d.active)
		d.active, d.inactive = d.inactive, nil
		d.readOnly = d.active.readOnly
	}
	d.suspended = false
	k.raise()
	return nil
}

func (k *Kernel) status(d *device, h *uapi.Header) ([]byte, error) {
	t := d.active
	if h.Flags&uapi.FlagQueryInactiveTable != 0 {
		t = d.inactive
	}
	if t == nil {
		h.TargetCount = 0
		return []byte{}, nil
	}
	lines := make([]uapi.Target, len(t.lines))
	copy(lines, t.lines)
	for i := range lines {
		if h.Flags&uapi.FlagStatusTable != 0 {
			lines[i].Params = t.targets[i].Params()
			continue
		}
		switch {
		case t.thin != nil:
			lines[i].Params = t.thin.status(t.pool)
		case t.pool != nil:
			lines[i].Params = t.pool.status()
		default:
			lines[i].Params = ""
		}
	}
	h.TargetCount = uint32(len(lines))
	return uapi.AppendStatus(nil, lines)
}

func deps(d *device) []byte {
	if d.active == nil {
		return uapi.AppendDeps(nil, nil)
	}
	var devs []uint64
	for _, t := range d.active.targets {
		switch t := t.(type) {
		case devmapper.Linear:
			devs = append(devs, huge(t.Dev))
		case devmapper.ThinPool:
			devs = append(devs, huge(t.Data), huge(t.Metadata))
		case devmapper.Thin:
			devs = append(devs, huge(t.Pool))
		}
	}
	return uapi.AppendDeps(nil, devs)
}
