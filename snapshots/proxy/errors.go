package proxy

import (
	"errors"

	"github.com/containerd/errdefs"

	"github.com/veneerdm/veneer/snapshots"
)

// classes gives the driver's classes of errors those of containerd, in the order in
// which they are looked for.
var classes = []struct{ ours, theirs error }{
	{snapshots.ErrNoSpace, errdefs.ErrResourceExhausted},
	{snapshots.ErrPoolState, errdefs.ErrUnavailable},
	{snapshots.ErrClosed, errdefs.ErrUnavailable},
	// Garbage collection goes on after a failed precondition, and only after that.
	{snapshots.ErrInUse, errdefs.ErrFailedPrecondition},
	{snapshots.ErrExists, errdefs.ErrAlreadyExists},
	{snapshots.ErrNotFound, errdefs.ErrNotFound},
	{snapshots.ErrInvalid, errdefs.ErrInvalidArgument},
	{snapshots.ErrInconsistent, errdefs.ErrDataLoss},
}

// classed adds a class to an error without changing its text.
type classed struct{ err, class error }

func (c classed) Error() string   { return c.err.Error() }
func (c classed) Unwrap() []error { return []error{c.err, c.class} }

func class(err error) error {
	for _, c := range classes {
		if errors.Is(err, c.ours) {
			return classed{err, c.theirs}
		}
	}
	return err
}
