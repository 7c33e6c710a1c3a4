package loopback

import (
	"errors"
	"fmt"
)

// The classes of errors that a caller may want to tell apart with errors.Is.
// Errors of files wrap fs.ErrNotExist, fs.ErrExist and fs.ErrPermission as usual.
var (
	// ErrNoLoop: the kernel has no loop driver, or it is not loaded.
	ErrNoLoop = errors.New("the kernel's loop driver is not available: run `modprobe loop` as root")
	// ErrBusy: the loop device is mounted, open or part of another block device.
	ErrBusy = errors.New("loop device is in use")
	// ErrNotAttached: the loop device has no backing file, or another one by now.
	ErrNotAttached = errors.New("loop device is not attached to that file")
	// ErrShrink: an image may only grow.
	ErrShrink = errors.New("image would shrink")
	// ErrInvalid: the request can never succeed as it stands.
	ErrInvalid = errors.New("invalid request")
)

// An Error says which operation on which file or device went wrong. It unwraps
// to the cause.
type Error struct {
	Op   string // verb, such as "attach"
	Path string // the file or device
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// failure wraps err for op on path. It gives nil for nil.
func failure(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Path: path, Err: err}
}
