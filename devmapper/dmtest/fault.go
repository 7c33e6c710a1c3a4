package dmtest

import (
	"errors"
	"strings"
	"sync"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Call is one operation as a fault hook sees it, before it happens.
type Call struct {
	Index   int    // counts all operations since Inject, from 0
	Op      string // the words of devmapper.Error.Op
	Device  string // name of the device; "" when there is none
	Detail  string // message text or first table line
	Mutates bool   // false for queries
}

// Kind is what a call does: Op, but "suspend" and "resume" apart, and a message with its
// first word, as in "message delete".
func (c Call) Kind() string {
	switch {
	case c.Op == uapi.DevSuspend.String() && c.Detail == resumeDetail:
		return "resume"
	case c.Op == uapi.DevSuspend.String():
		return "suspend"
	case c.Op == uapi.TargetMessage.String():
		verb, _, _ := strings.Cut(c.Detail, " ")
		return c.Op + " " + verb
	}
	return c.Op
}

const resumeDetail = "resume"

// Inject has f decide about every operation from now on: an error, which should be
// a syscall.Errno, is returned and the operation does not happen. nil ends it. f must not
// call the kernel.
//
// A resume is an exception: on Linux one that fails has suspended the device before,
// to put the loaded table in place, and leaves it so. With an Errno it does here too.
func (k *Kernel) Inject(f func(Call) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inject, k.calls = f, 0
}

// FailAt is a fault hook that fails the i-th operation, from 0, with errno, and then no
// more. It tells through fired whether it did.
func FailAt(i int, errno syscall.Errno, fired *bool) func(Call) error {
	return func(c Call) error {
		if c.Index != i {
			return nil
		}
		*fired = true
		return errno
	}
}

// FailNth is a fault hook that fails the i-th operation of a kind, from 0, with errno, and
// then no more. It tells through fired whether it did. See Call.Kind.
func FailNth(kind string, i int, errno syscall.Errno, fired *bool) func(Call) error {
	seen := 0
	return func(c Call) error {
		if c.Kind() != kind {
			return nil
		}
		seen++
		if seen-1 != i {
			return nil
		}
		*fired = true
		return errno
	}
}

// InOrder is a fault hook that asks several. Each sees every operation; the error of the
// first that has one counts.
func InOrder(hooks ...func(Call) error) func(Call) error {
	return func(c Call) (first error) {
		for _, hook := range hooks {
			if err := hook(c); first == nil {
				first = err
			}
		}
		return first
	}
}

// hold has operations wait before they happen.
type hold struct {
	match    func(Call) bool
	entered  chan Call
	released chan struct{}
}

// heldRoom is how many held operations a test is told of before it takes the first.
const heldRoom = 1024

// Hold has every operation that match chooses wait, before it happens, until release is
// called; the others go on. entered tells of each that waits. A second Hold takes the
// place of the first, whose operations wait on for its own release.
func (k *Kernel) Hold(match func(Call) bool) (entered <-chan Call, release func()) {
	h := &hold{match: match, entered: make(chan Call, heldRoom), released: make(chan struct{})}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = h
	return h.entered, sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.held == h {
			k.held = nil
		}
		close(h.released)
	})
}

// waitIfHeld is called, and returns, with the kernel locked.
func (k *Kernel) waitIfHeld(c Call) {
	h := k.held
	if h == nil || !h.match(c) {
		return
	}
	k.mu.Unlock()
	defer k.mu.Lock()
	h.entered <- c
	<-h.released
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

// describeCall tells a fault hook what is asked.
func (k *Kernel) describeCall(cmd uapi.Command, h uapi.Header, payload []byte) Call {
	c := Call{Op: cmd.String(), Device: h.Name}
	if d, err := k.find(&h); err == nil {
		c.Device = d.name
	}
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
			c.Detail = resumeDetail
		}
		c.Mutates = true
	case uapi.DevCreate, uapi.DevRemove, uapi.DevRename, uapi.TableClear, uapi.RemoveAll:
		c.Mutates = true
	}
	return c
}

func (k *Kernel) fault(c Call, cmd uapi.Command, h uapi.Header) error {
	if k.inject == nil {
		return nil
	}
	c.Index = k.calls
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
