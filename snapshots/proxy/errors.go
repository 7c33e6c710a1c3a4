package proxy

import (
	"github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"

	"github.com/veneerdm/veneer/class"
)

// native gives the codes of classes the errors that containerd knows them by.
var native = map[codes.Code]error{
	codes.ResourceExhausted:  errdefs.ErrResourceExhausted,
	codes.Unavailable:        errdefs.ErrUnavailable,
	codes.FailedPrecondition: errdefs.ErrFailedPrecondition,
	codes.AlreadyExists:      errdefs.ErrAlreadyExists,
	codes.NotFound:           errdefs.ErrNotFound,
	codes.InvalidArgument:    errdefs.ErrInvalidArgument,
	codes.DataLoss:           errdefs.ErrDataLoss,
	codes.PermissionDenied:   errdefs.ErrPermissionDenied,
	codes.Unauthenticated:    errdefs.ErrUnauthenticated,
	codes.Unimplemented:      errdefs.ErrNotImplemented,
}

// classed is an error with a class that its text implies already.
type classed struct{ err, class error }

func (c classed) Error() string   { return c.err.Error() }
func (c classed) Unwrap() []error { return []error{c.err, c.class} }

// containerd adds the class that containerd knows to an error, without changing its text.
func containerd(err error) error {
	c := class.Of(err)
	if c == nil || native[c.Code()] == nil {
		return err
	}
	return classed{err, native[c.Code()]}
}
