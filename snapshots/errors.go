package snapshots

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/thinpool"
)

// The classes of errors that a caller may want to tell apart with errors.Is.
var (
	// ErrNotFound: no snapshot has that key.
	ErrNotFound = errors.New("not found")
	// ErrExists: a snapshot with that key is there already.
	ErrExists = errors.New("already exists")
	// ErrInUse: the snapshot has children, views or holders that forbid the operation.
	ErrInUse = errors.New("in use")
	// ErrInvalid: the request can never succeed as it stands.
	ErrInvalid = errors.New("invalid request")
	// ErrNoSpace: the pool has too little data or metadata space left. Grow it or remove something.
	ErrNoSpace = errors.New("pool out of space")
	// ErrPoolState: the pool is read-only, failed or needs a check, and refuses changes.
	ErrPoolState = errors.New("pool does not accept changes")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("store is in use by another process")
	// ErrInconsistent: catalog, pool and live devices disagree in a way that is not
	// safe to mend without a person.
	ErrInconsistent = errors.New("store is inconsistent")
	// ErrClosed: the driver has been closed.
	ErrClosed = errors.New("driver is closed")
)

// OpError says which operation on which snapshot went wrong. It unwraps to the cause.
type OpError struct {
	Op  string // verb, such as "prepare"
	Key string // the snapshot
	Err error
}

func (e *OpError) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Key, e.Err) }

// Unwrap gives the cause.
func (e *OpError) Unwrap() error { return e.Err }

// classes translates what lower packages say into the words of this one. Both
// stay findable with errors.Is.
var classes = []struct{ from, to error }{
	{metadata.ErrNotFound, ErrNotFound},
	{metadata.ErrExists, ErrExists},
	{metadata.ErrInUse, ErrInUse},
	{metadata.ErrInvalid, ErrInvalid},
	{metadata.ErrLocked, ErrLocked},
	{metadata.ErrCorrupt, ErrInconsistent},
	{thinpool.ErrLost, ErrPoolState},
	{thinpool.ErrMode, ErrPoolState},
	{thinpool.ErrFailed, ErrPoolState},
	{thinpool.ErrDamaged, ErrPoolState},
	{devmapper.ErrReadOnly, ErrPoolState},
	{devmapper.ErrNoSpace, ErrNoSpace},
	{syscall.ENOSPC, ErrNoSpace},
}

// classed is an error with a class of this package that its text already implies.
type classed struct{ err, class error }

func (c classed) Error() string   { return c.err.Error() }
func (c classed) Unwrap() []error { return []error{c.err, c.class} }

func translate(err error) error {
	for _, c := range classes {
		if errors.Is(err, c.from) && !errors.Is(err, c.to) {
			return classed{err, c.to}
		}
	}
	return err
}

// failed wraps what went wrong with an operation on a snapshot; nil stays nil.
func failed(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*OpError](err); ok {
		return err
	}
	return &OpError{Op: op, Key: key, Err: translate(err)}
}
