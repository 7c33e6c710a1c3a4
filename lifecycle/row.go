package lifecycle

import (
	"slices"
	"strings"
)

// Action is one thing that a start or the doctor does about a thin device.
type Action string

// The actions. Those on the device come first in a row, so that a catalog write is only
// made when the kernel agreed.
const (
	// RemoveDevice takes the device away, at its last close if somebody has it open.
	RemoveDevice Action = "remove the device"
	// Resume lets the I/O of a suspended device go on.
	Resume Action = "resume the device"
	// Acknowledge makes what was being created an active snapshot.
	Acknowledge Action = "keep it: it was made in full"
	// DropRecord takes back the record of what was never made.
	DropRecord Action = "drop the record: it was never made"
	// Forget drops an entry of the trash, or a reservation, without a thin device.
	Forget Action = "drop the entry: there is nothing to delete"
	// Release makes a reservation ordinary trash, for the reaper to delete.
	Release Action = "give up the reservation; it is deleted"
	// MarkLost records that the pool has lost it.
	MarkLost Action = "mark it lost"
	// MarkFound records that the pool has it again.
	MarkFound Action = "mark it found"
	// DropTemplate drops a template that the pool has lost; the next base snapshot
	// makes another.
	DropTemplate Action = "drop the template: another one is made when it is needed"
	// Adopt records it as an active snapshot under a name made of its id. A start leaves
	// it to a person: it reports the thin device and does not hand out the id.
	Adopt Action = "adopt it as a snapshot named recovered-ID"
)

// Actions are all actions.
var Actions = []Action{RemoveDevice, Resume, Acknowledge, DropRecord, Forget, Release, MarkLost, MarkFound, DropTemplate, Adopt}

// AtStart says whether a start carries the action out by itself. The others wait for
// "veneer doctor --fix" or "veneer restore".
func (a Action) AtStart() bool { return a != Adopt }

// Apply gives what is observed after the action has been carried out.
func (a Action) Apply(o Observed) Observed {
	switch a {
	case RemoveDevice:
		o.Device = NoDevice
	case Resume:
		o.Device = Running
	case Acknowledge, Adopt:
		o.State = Active
	case DropRecord, Forget, DropTemplate:
		o.State = Unrecorded
		o.Viewed = false
	case Release:
		o.State = Trash
	case MarkLost:
		o.State = Lost
	case MarkFound:
		o.State = Committed // or active, as the record says
	}
	return o
}

// Row is what is done about thin devices that are observed alike.
type Row struct {
	Observed
	Actions []Action
}

// Cure says what the actions are, "" for a row without any.
func (r Row) Cure() string {
	words := make([]string, len(r.Actions))
	for i, a := range r.Actions {
		words[i] = string(a)
	}
	return strings.Join(words, ", then ")
}

// Needs says whether one of the row's actions is a.
func (r Row) Needs(a Action) bool { return slices.Contains(r.Actions, a) }

// Decide gives the row for what is observed.
func Decide(o Observed) Row {
	return Row{o, append(deviceActions(o), recordActions(o)...)}
}

// Rows gives a row for everything that can be observed.
func Rows() (rows []Row) {
	for _, o := range All() {
		rows = append(rows, Decide(o))
	}
	return rows
}

// deviceActions is what is to be done about the device. One that stays must lead to a
// thin device that somebody may use; the trash's are the reaper's as long as there is
// something to delete.
func deviceActions(o Observed) []Action {
	stays := o.InPool && (o.State != Committed && o.State != Template && o.State != Lost || o.Viewed)
	switch {
	case o.Device == NoDevice:
		return nil
	case o.InPool && (o.State == Trash || o.State == Reserved && !o.Older):
		return nil
	case o.Device == NoTable || !stays:
		return []Action{RemoveDevice}
	case o.Device == Suspended:
		return []Action{Resume}
	}
	return nil
}

// recordActions is what is to be done about the record.
func recordActions(o Observed) []Action {
	if o.InPool {
		switch o.State {
		case Unrecorded:
			return []Action{Adopt}
		case Reserved:
			if o.Older {
				// Whoever had reserved it may have made it a container's since.
				return []Action{Adopt}
			}
			return []Action{Release}
		case Creating:
			return []Action{Acknowledge}
		case Lost:
			return []Action{MarkFound}
		}
		return nil
	}
	switch o.State {
	case Reserved, Trash:
		return []Action{Forget}
	case Creating:
		return []Action{DropRecord}
	case Active, Committed:
		return []Action{MarkLost}
	case Template:
		return []Action{DropTemplate}
	}
	return nil
}
