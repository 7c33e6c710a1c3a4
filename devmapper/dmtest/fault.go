package dmtest

import (
	"errors"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Call is one operation as an injector sees it, before it happens.
type Call struct {
	Index   int    // counts all operations since Inject, from 0
	Op      string // the words of devmapper.Error.Op
	Device  string // name, if the caller chose by name
	Detail  string // message text or first table line
	Mutates bool   // false for queries
}

// Inject has f decide about every operation from now on: an error, which should be
// a syscall.Errno, is returned and the operation does not happen. nil ends it.
//
// A resume is an exception: on Linux one that fails has suspended the device before,
// to put the loaded table in place, and leaves it so. With an Errno it does here too.
func (k *Kernel) Inject(f func(Call) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inject, k.calls = f, 0
}

// FailAt is an injector that fails the i-th operation with errno, and then no more.
// It tells through fired whether it did.
func FailAt(i int, errno syscall.Errno, fired *bool) func(Call) error {
	return func(c Call) error {
		if c.Index != i {
			return nil
		}
		*fired = true
		return errno
	}
}

// LoseCommit makes the pool on that metadata disk swallow the commit of its next
// message: the message answers success, its effect is gone, the pool turns
// read-only and needs a check, as on Linux when the metadata cannot be written.
func (k *Kernel) LoseCommit(metadata devmapper.DevNo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pools[metadata]; p != nil {
		p.lose = true
	}
}

// Repair clears the needs-check state, as thin_check --clear-needs-check-flag does.
func (k *Kernel) Repair(metadata devmapper.DevNo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pools[metadata]; p != nil {
		p.needsCheck, p.mode = false, modeRW
	}
}

func (k *Kernel) fault(cmd uapi.Command, h uapi.Header, payload []byte) error {
	if k.inject == nil {
		return nil
	}
	c := Call{Index: k.calls, Op: cmd.String(), Device: h.Name}
	switch cmd {
	case uapi.TargetMessage:
		_, c.Detail, _ = uapi.ParseMessage(payload)
		c.Mutates = true
	case uapi.TableLoad:
		if lines, err := uapi.ParseTable(payload, h.TargetCount); err == nil && len(lines) > 0 {
			c.Detail = lines[0].Type + " " + lines[0].Params
		}
		c.Mutates = true
	case uapi.DevSuspend:
		if h.Flags&uapi.FlagSuspend == 0 {
			c.Detail = "resume"
		}
		c.Mutates = true
	case uapi.DevCreate, uapi.DevRemove, uapi.DevRename, uapi.TableClear, uapi.RemoveAll:
		c.Mutates = true
	}
	k.calls++
	err := k.inject(c)
	if _, failed := errors.AsType[syscall.Errno](err); failed && cmd == uapi.DevSuspend && h.Flags&uapi.FlagSuspend == 0 {
		k.failResume(h)
	}
	return err
}

// failResume is what do_resume in drivers/md/dm-ioctl.c leaves when it fails: when
// dm_swap_table does, the device has its old table, when the target's preresume does,
// the new one. Only pools have one that can. It is suspended in both cases.
func (k *Kernel) failResume(h uapi.Header) {
	d, err := k.find(&h)
	if err != nil || d.inactive == nil {
		return
	}
	if d.inactive.pool != nil && d.inactive.thin == nil {
		d.active, d.inactive = d.inactive, d.active
	}
	k.drop(d.inactive)
	d.inactive, d.suspended = nil, true
}
