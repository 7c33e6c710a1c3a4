package thinpool

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/veneerdm/veneer/class"
)

// The classes of errors, for errors.Is.
var (
	// ErrLost: the kernel took the message, but the pool turned read-only while it
	// committed, so the change may be gone. What is on disk decides.
	ErrLost = class.Wrap(errors.New("pool turned read-only; the change may be lost"), class.PoolState)
	// ErrForeign: the device or its content belongs to somebody else.
	ErrForeign = class.Foreign
	// ErrFailed: the pool does no I/O and takes no messages.
	ErrFailed = class.Wrap(errors.New("pool has failed"), class.PoolState)
	// ErrDamaged: the metadata on the disk is not as the kernel writes it. The pool was
	// not activated, and nothing was written.
	ErrDamaged = class.Wrap(errors.New("pool metadata is damaged"), class.PoolState)
	// ErrNoThin: the pool has no thin device of that id. It is devmapper.ErrNotExist
	// too, which a device that is not there is as well, the pool's for one.
	ErrNoThin = errors.New("the pool has no such thin device")
	// ErrMode: the pool is read-only or needs a check.
	ErrMode = class.Wrap(errors.New("pool is read-only"), class.PoolState)
)

// absent adds ErrNoThin to an error that means it, in operations on a thin id.
func absent(err error) error {
	if errors.Is(err, syscall.ENODATA) {
		return fmt.Errorf("%w: %w", ErrNoThin, err)
	}
	return err
}

// ForeignError says what stands where a pool was to be made. It is ErrForeign.
type ForeignError struct {
	Path  string // device or dm name
	Holds string // what is there, such as "an ext4 filesystem"
	Cure  string // what to do; "" for what helps with a disk
}

func (e *ForeignError) Error() string {
	cure := e.Cure
	if cure == "" {
		cure = "choose another device, or wipe this one if nobody needs it"
	}
	return fmt.Sprintf("%s holds %s; %s", e.Path, e.Holds, cure)
}

// otherName is the cure for a device-mapper name that is taken.
const otherName = "choose another name for the pool, or remove that device if nobody needs it"

// Is says that it is ErrForeign.
func (e *ForeignError) Is(target error) bool { return target == ErrForeign }
