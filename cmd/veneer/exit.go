package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// exitCode is an error that says how the program ends. err may be nil: then
// everything was said already.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string { return e.err.Error() }
func (e exitCode) Unwrap() error { return e.err }

const (
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 3
	exitInUse    = 4
	exitPool     = 5
)

func usage(format string, args ...any) error {
	return exitCode{exitUsage, fmt.Errorf(format, args...)}
}

// exits gives classes of errors their exit codes; the first that fits counts.
var exits = []struct {
	class error
	code  int
}{
	{images.ErrTooLarge, exitFailure},
	{snapshots.ErrNoSpace, exitPool},
	{syscall.ENOSPC, exitPool}, // of the disk below
	{snapshots.ErrPoolState, exitPool},
	{devmapper.ErrPermission, exitFailure},
	{devmapper.ErrNotSupported, exitFailure},
	{snapshots.ErrInconsistent, exitPool},
	{snapshots.ErrLocked, exitInUse},
	{snapshots.ErrInUse, exitInUse},
	{snapshots.ErrExists, exitInUse},
	{thinpool.ErrForeign, exitInUse},
	{fs.ErrExist, exitInUse},
	{images.ErrInvalidReference, exitUsage},
	{images.ErrAmbiguous, exitUsage},
	{images.ErrInvalidChange, exitUsage},
	{snapshots.ErrInvalid, exitUsage},
	{images.ErrNotFound, exitNotFound},
	{images.ErrNoPlatform, exitNotFound},
	{snapshots.ErrNotFound, exitNotFound},
}

func exitOf(err error) int {
	if code, ok := errors.AsType[exitCode](err); ok {
		return code.code
	}
	for _, e := range exits {
		if errors.Is(err, e.class) {
			return e.code
		}
	}
	return exitFailure
}

// sentence puts errors that were joined on one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
