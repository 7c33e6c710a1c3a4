package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/veneerdm/veneer/class"
)

// exitCode is an error that says how the program ends. err may be nil: then
// everything was said already.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string { return e.err.Error() }
func (e exitCode) Unwrap() error { return e.err }

// The exit codes that the command gives by itself; class has all of them.
const (
	exitFailure  = int(class.ExitFailure)
	exitUsage    = int(class.ExitUsage)
	exitNotFound = int(class.ExitNotFound)
	exitInUse    = int(class.ExitInUse)
	exitPool     = int(class.ExitPool)
)

func usage(format string, args ...any) error {
	return exitCode{exitUsage, fmt.Errorf(format, args...)}
}

func exitOf(err error) int {
	if code, ok := errors.AsType[exitCode](err); ok {
		return code.code
	}
	if c := class.Of(err); c != nil {
		return int(c.Exit())
	}
	return exitFailure
}

// sentence puts errors that were joined on one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
