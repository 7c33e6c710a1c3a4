package bench

import (
	"errors"
	"fmt"
)

// The classes of errors that a caller may want to tell apart with errors.Is.
var (
	// ErrUnsupported: the backend cannot do what the case asks, and that is a result.
	ErrUnsupported = errors.New("not supported")
	// ErrContent: a backend showed other bytes than it should. Its numbers are void.
	ErrContent = errors.New("wrong content")
	// ErrNotReady: this machine lacks something that a backend or a scenario needs.
	ErrNotReady = errors.New("not available here")
	// ErrFormat: a file is not a result of cowbench.
	ErrFormat = errors.New("not a result of cowbench")
)

// Unsupported makes an error that is recorded as the reason why a case was skipped.
func Unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

// Corrupt makes an error that voids a backend's numbers.
func Corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrContent, fmt.Sprintf(format, args...))
}
