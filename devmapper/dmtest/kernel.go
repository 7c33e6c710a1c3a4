package dmtest

import (
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// dmMajor is the major number that Linux usually gives the device-mapper.
const dmMajor = 253

// replyLimit is where the fake claims that a reply does not fit unless the buffer
// is larger, so that callers meet DM_BUFFER_FULL_FLAG in ordinary tests.
const replySlack = 64

// newestMinor is that of Linux 6.1's interface.
const newestMinor = 47

// Kernel is a device-mapper in memory. The zero value is not usable; New makes one.
type Kernel struct {
	mu      sync.Mutex
	changed *sync.Cond
	devices map[string]*device
	disks   map[devmapper.DevNo]devmapper.Sectors
	pools   map[devmapper.DevNo]*pool // what is on each metadata disk
	events  uint64
	calls   int
	inject  func(Call) error
	held    *hold
	reserve func(devmapper.DevNo, PoolState) (uint64, error)
	minor   uint32 // of the interface's version
	late    int
	devDir  string
}

type device struct {
	name, uuid       string
	minor            uint32
	active, inactive *table
	suspended        bool
	readOnly         bool
	deferred         bool
	open             int // by Open, by tables standing on it
	event            uint32
}

type table struct {
	lines    []uapi.Target
	targets  []devmapper.Target
	readOnly bool
	holds    []*device // mapped devices below, each held open
	pool     *pool     // for thin-pool and thin
	thin     *thin     // for thin
}

func (d *device) dev() devmapper.DevNo { return devmapper.DevNo{Major: dmMajor, Minor: d.minor} }

// New makes a kernel without devices.
func New() *Kernel {
	k := &Kernel{
		devices: map[string]*device{},
		disks:   map[devmapper.DevNo]devmapper.Sectors{},
		pools:   map[devmapper.DevNo]*pool{},
		minor:   newestMinor,
	}
	k.changed = sync.NewCond(&k.mu)
	return k
}

// AddDisk announces a disk that tables may refer to, or its new size. A disk that
// is new holds zeros.
func (k *Kernel) AddDisk(dev devmapper.DevNo, size devmapper.Sectors) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.disks[dev] = size
}

// WipeDisk makes a disk hold zeros again: a pool's metadata on it is gone.
func (k *Kernel) WipeDisk(dev devmapper.DevNo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pools, dev)
}

// Reboot takes every mapped device away, whatever holds it. Disks keep their content.
func (k *Kernel) Reboot() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.devices {
		k.unpublish(d)
	}
	k.devices = map[string]*device{}
	for _, p := range k.pools {
		p.user, p.tables = nil, 0
		for _, t := range p.thins {
			t.active = 0
		}
	}
	k.raise()
}

// Control answers one operation. It is the devmapper.Transport of clients.
func (k *Kernel) Control(command uint8, buf []byte) error { return k.control(command, buf, nil) }

func (k *Kernel) control(command uint8, buf []byte, p *port) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, err := uapi.ParseHeader(buf)
	if err != nil || h.Version[0] != 4 {
		return syscall.EINVAL
	}
	cmd := uapi.Command(command)
	payload := h.Payload(buf)
	if p != nil {
		if p.closed {
			k.late++
			return syscall.EBADF
		}
		p.underWay++
		defer func() { p.underWay-- }()
	}
	c := k.describeCall(cmd, h, payload)
	k.waitIfHeld(c)
	if err := k.fault(c, cmd, h); err != nil {
		return err
	}
	reply, err := k.dispatch(cmd, &h, payload, p)
	if err != nil {
		return err
	}
	h.Version = [3]uint32{4, k.minor, 0}
	h.DataSize = uapi.DataOffset
	if reply != nil {
		if uapi.HeaderSize+len(reply)+replySlack > len(buf) {
			h.Flags |= uapi.FlagBufferFull
		} else {
			h.DataSize = uint32(uapi.HeaderSize + len(reply))
			copy(buf[uapi.HeaderSize:], reply)
		}
	}
	return h.Put(buf)
}

func (k *Kernel) dispatch(cmd uapi.Command, h *uapi.Header, payload []byte, p *port) ([]byte, error) {
	switch cmd {
	case uapi.Version:
		return nil, nil
	case uapi.ListDevices:
		return k.list(h), nil
	case uapi.ListVersions, uapi.GetTargetVersion:
		if cmd == uapi.GetTargetVersion && k.minor < 41 {
			return nil, syscall.ENOTTY
		}
		return versions(cmd, h.Name)
	case uapi.DevCreate:
		return nil, k.create(h)
	case uapi.DevArmPoll:
		if k.minor < 37 {
			return nil, syscall.ENOTTY
		}
		if p != nil {
			p.armed = k.events
		}
		return nil, nil
	}
	d, err := k.find(h)
	if err != nil {
		return nil, err
	}
	var reply []byte
	switch cmd {
	case uapi.DevRemove:
		if err := k.remove(d, h); err != nil {
			return nil, err
		}
		h.Name, h.UUID = d.name, d.uuid
		return nil, nil
	case uapi.DevRename:
		err = k.rename(d, h, payload)
	case uapi.DevSuspend:
		if h.Flags&uapi.FlagSuspend != 0 {
			d.suspended = true
		} else {
			err = k.resume(d)
			h.Flags |= uapi.FlagUeventGenerated
		}
	case uapi.DevStatus:
	case uapi.DevWait:
		for d.event <= h.EventNr && k.devices[d.name] == d {
			k.changed.Wait()
		}
	case uapi.TableLoad:
		err = k.load(d, h, payload)
	case uapi.TableClear:
		k.drop(d.inactive)
		d.inactive = nil
	case uapi.TableDeps:
		reply = deps(d)
	case uapi.TableStatus:
		reply, err = k.status(d, h)
	case uapi.TargetMessage:
		err = k.message(d, payload)
	default:
		err = syscall.ENOTTY
	}
	if err != nil {
		return nil, err
	}
	k.describe(d, h)
	return reply, nil
}

// find picks the device by exactly one of name, uuid and number.
func (k *Kernel) find(h *uapi.Header) (*device, error) {
	if h.UUID != "" && h.Name != "" {
		return nil, syscall.EINVAL
	}
	if h.Name != "" && h.Dev != 0 {
		return nil, syscall.ENXIO
	}
	for _, d := range k.devices {
		switch {
		case h.Name != "" && d.name == h.Name,
			h.UUID != "" && d.uuid == h.UUID,
			h.Dev != 0 && huge(d.dev()) == h.Dev:
			return d, nil
		}
	}
	return nil, syscall.ENXIO
}

func huge(d devmapper.DevNo) uint64 {
	return uint64(d.Minor&0xff) | uint64(d.Major)<<8 | uint64(d.Minor&^0xff)<<12
}

// describe fills the reply's header with the device's state.
func (k *Kernel) describe(d *device, h *uapi.Header) {
	const kept = uapi.FlagUeventGenerated | uapi.FlagDataOut
	h.Flags &= kept
	set := func(on bool, f uapi.Flags) {
		if on {
			h.Flags |= f
		}
	}
	set(d.readOnly, uapi.FlagReadOnly)
	set(d.suspended, uapi.FlagSuspend)
	set(d.active != nil, uapi.FlagActivePresent)
	set(d.inactive != nil, uapi.FlagInactivePresent)
	set(d.deferred, uapi.FlagDeferredRemove)
	h.Name, h.UUID, h.Dev = d.name, d.uuid, huge(d.dev())
	h.OpenCount, h.EventNr = int32(d.open), d.event
	if d.active != nil && h.TargetCount == 0 {
		h.TargetCount = uint32(len(d.active.lines))
	}
}

func (k *Kernel) create(h *uapi.Header) error {
	if h.Name == "" || strings.Contains(h.Name, "/") {
		return syscall.EINVAL
	}
	used := map[uint32]bool{}
	for _, d := range k.devices {
		if d.name == h.Name || h.UUID != "" && d.uuid == h.UUID {
			return syscall.EBUSY
		}
		used[d.minor] = true
	}
	d := &device{name: h.Name, uuid: h.UUID}
	for used[d.minor] {
		d.minor++
	}
	k.devices[d.name] = d
	k.describe(d, h)
	k.raise()
	return nil
}

// CreateDevice makes a device without a table that stays, as a process that died between
// creating a device and loading its table leaves one.
func (k *Kernel) CreateDevice(name, uuid string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.create(&uapi.Header{Name: name, UUID: uuid})
}

func (k *Kernel) remove(d *device, h *uapi.Header) error {
	if d.open > 0 {
		if h.Flags&uapi.FlagDeferredRemove == 0 {
			return syscall.EBUSY
		}
		d.deferred = true
		h.Flags |= uapi.FlagDeferredRemove
		return nil
	}
	h.Flags |= uapi.FlagUeventGenerated
	k.forget(d)
	return nil
}

func (k *Kernel) forget(d *device) {
	delete(k.devices, d.name)
	k.unpublish(d)
	k.drop(d.active)
	k.drop(d.inactive)
	k.raiseOn(d) // who waits for the device's events is woken
}

// release is the last step of a close: a deferred removal may be due.
func (k *Kernel) release(d *device) {
	d.open--
	if d.open == 0 && d.deferred && k.devices[d.name] == d {
		k.forget(d)
	}
}

func (k *Kernel) rename(d *device, h *uapi.Header, payload []byte) error {
	to, err := uapi.ParseString(payload)
	if err != nil || to == "" || len(to) >= uapi.NameLen || strings.Contains(to, "/") {
		return syscall.EINVAL
	}
	if k.devices[to] != nil {
		return syscall.EBUSY
	}
	delete(k.devices, d.name)
	d.name = to
	k.devices[to] = d
	h.Flags |= uapi.FlagUeventGenerated
	k.raise()
	return nil
}

func (k *Kernel) list(h *uapi.Header) []byte {
	var names []uapi.Name
	for _, d := range k.devices {
		if k.minor < 45 || strings.HasPrefix(d.name, h.Name) && strings.HasPrefix(d.uuid, h.UUID) {
			names = append(names, uapi.Name{Dev: huge(d.dev()), Name: d.name, EventNr: d.event, UUID: d.uuid})
		}
	}
	slices.SortFunc(names, func(a, b uapi.Name) int { return strings.Compare(a.Name, b.Name) })
	withUUID := h.Flags&uapi.FlagUUID != 0 && k.minor >= 44
	h.Name, h.UUID = "", ""
	return uapi.AppendNames(nil, names, withUUID)
}

func versions(cmd uapi.Command, name string) ([]byte, error) {
	known := []uapi.TargetVersion{
		{Name: "error", Version: [3]uint32{1, 5, 0}},
		{Name: "linear", Version: [3]uint32{1, 4, 0}},
		{Name: "thin", Version: [3]uint32{1, 22, 0}},
		{Name: "thin-pool", Version: [3]uint32{1, 22, 0}},
		{Name: "zero", Version: [3]uint32{1, 1, 0}},
	}
	if cmd == uapi.GetTargetVersion {
		known = slices.DeleteFunc(known, func(v uapi.TargetVersion) bool { return v.Name != name })
		if len(known) == 0 {
			return nil, syscall.EINVAL
		}
	}
	return uapi.AppendVersions(nil, known), nil
}

// raise counts an event and wakes those who wait for one.
func (k *Kernel) raise() {
	k.events++
	k.changed.Broadcast()
}

func (k *Kernel) raiseOn(d *device) {
	d.event++
	k.raise()
}
