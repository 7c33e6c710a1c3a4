package lifecycle

import "fmt"

// State is what the catalog says of a thin id. States are stored and printed as words.
type State string

// The states.
const (
	// Unrecorded: no record names the id. It is free, or the catalog is older than the pool.
	Unrecorded State = "unrecorded"
	// Reserved: an operation in flight has the id for a thin device that is to replace
	// another one, or to become a template.
	Reserved State = "reserved"
	// Creating: it is recorded, and whoever asked for it has no answer yet.
	Creating State = "creating"
	// Active: acknowledged and writable.
	Active State = "active"
	// Committed: it never changes again and may have children.
	Committed State = "committed"
	// Template: a formatted thin device that base snapshots are copies of.
	Template State = "template"
	// Lost: acknowledged, but the pool has no such thin device any more.
	Lost State = "lost"
	// Trash: it is to be deleted.
	Trash State = "trash"
)

// States are all states, in the order in which a thin device meets them.
var States = []State{Unrecorded, Reserved, Creating, Active, Committed, Template, Lost, Trash}

// Device is what the kernel says of a thin id's device.
type Device string

// The kinds of a device.
const (
	NoDevice  Device = "none"
	NoTable   Device = "without table" // made, but no table was ever loaded
	Running   Device = "active"
	Suspended Device = "suspended"
)

// Devices are all kinds of a device.
var Devices = []Device{NoDevice, NoTable, Running, Suspended}

// Observed is what all sources say of one thin id at one moment.
type Observed struct {
	State  State
	InPool bool   // the pool's metadata has the id
	Device Device // what the kernel has
	Viewed bool   // a view shows it: of committed ones and templates
	// Older says that the catalog is older than the pool: it was put back from a copy, so
	// operations that it has in flight may have ended long ago.
	Older bool
}

func (o Observed) String() string {
	pool := "the pool has it"
	if !o.InPool {
		pool = "the pool does not have it"
	}
	device := "it has no device"
	if o.Device != NoDevice {
		device = "its device is " + string(o.Device)
	}
	return fmt.Sprintf("%s, %s, %s", o.State, pool, device)
}

// Possible says whether anything can be observed so: what is neither recorded nor in the
// pool nor a device is not there at all, and only what does not change is viewed.
func (o Observed) Possible() bool {
	if o.State == Unrecorded && !o.InPool && o.Device == NoDevice {
		return false
	}
	return !o.Viewed || o.State == Committed || o.State == Template || o.State == Lost
}

// All gives everything that can be observed.
func All() (all []Observed) {
	for _, state := range States {
		for _, inPool := range []bool{false, true} {
			for _, device := range Devices {
				for _, viewed := range []bool{false, true} {
					for _, older := range []bool{false, true} {
						o := Observed{state, inPool, device, viewed, older}
						if o.Possible() {
							all = append(all, o)
						}
					}
				}
			}
		}
	}
	return all
}
