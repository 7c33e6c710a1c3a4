package layer

import (
	"errors"
	"fmt"
	"io"

	"github.com/veneerdm/veneer/images/internal/fault"
)

// The classes of errors, for errors.Is. They are the same values as those of the
// same names in package images.
var (
	// ErrHostile: an entry tries to leave the root or exceeds a limit.
	ErrHostile = fault.ErrHostile
	// ErrMalformed: the content is not a layer as the specification defines it.
	ErrMalformed = fault.ErrMalformed
	// ErrTruncated: the tar or its compression ends too early.
	ErrTruncated = fault.ErrTruncated
	// ErrReservedName: a file to be put in a layer has a name that the layer format
	// keeps for whiteouts.
	ErrReservedName = errors.New("names that begin with .wh. cannot be stored in a layer")
)

// EntryError says which entry of a layer could not be applied. It unwraps to the
// cause: a class of this package or the kernel's errno.
type EntryError struct {
	Name   string // the entry, as the tar has it
	Reason string // what about it, or which step
	Err    error
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("layer entry %s: %s: %v", printable(e.Name), e.Reason, e.Err)
}

// Unwrap gives the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// printable quotes a name that came from a tar and keeps the message to one line
// of bearable length.
func printable(name string) string {
	const limit = 200
	if len(name) > limit {
		return fmt.Sprintf("%q... (%d bytes)", name[:limit], len(name))
	}
	return fmt.Sprintf("%q", name)
}

// endsEarly names the class of an error met while reading a layer's bytes.
func endsEarly(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read layer: %w", ErrTruncated)
	}
	return err
}
