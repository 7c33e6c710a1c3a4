package snapshots

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/class"
)

// The classes of errors that a caller may want to tell apart with errors.Is. Package
// class has them in one table.
var (
	// ErrNotFound: no snapshot has that key.
	ErrNotFound = class.NotFound
	// ErrExists: a snapshot with that key is there already.
	ErrExists = class.Exists
	// ErrInUse: the snapshot has children, views or holders that forbid the operation.
	ErrInUse = class.InUse
	// ErrInvalid: the request can never succeed as it stands.
	ErrInvalid = class.Invalid
	// ErrNoSpace: the pool has too little data or metadata space left. Grow it or remove something.
	ErrNoSpace = class.NoSpace
	// ErrPoolState: the pool is read-only, failed or needs a check, and refuses changes.
	ErrPoolState = class.PoolState
	// ErrLocked: another process has the store open.
	ErrLocked = class.Locked
	// ErrInconsistent: the catalog is damaged, or contradicts the pool.
	ErrInconsistent = class.Inconsistent
	// ErrLost: the pool has lost what the snapshot held. Remove it, or make it again.
	ErrLost = class.Lost
	// ErrClosed: the driver has been closed.
	ErrClosed = class.Closed
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

// failed wraps what went wrong with an operation on a snapshot; nil stays nil.
func failed(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*OpError](err); ok {
		return err
	}
	return &OpError{Op: op, Key: key, Err: class.Ensure(err)}
}
