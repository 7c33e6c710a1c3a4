package class

import (
	"errors"

	"google.golang.org/grpc/codes"
)

// Class is a kind of errors, and an error that says no more than that.
type Class struct {
	text string
	word string     // on the wire; it never changes
	exit Exit       // of a command that fails so
	code codes.Code // of gRPC
	also []error    // errors of other packages that are of this class
}

// Exit is the exit code of a command.
type Exit int

// The exit codes.
const (
	ExitFailure  Exit = 1 // none of the others
	ExitUsage    Exit = 2 // the request can never succeed as it stands
	ExitNotFound Exit = 3
	ExitInUse    Exit = 4 // something or somebody is in the way
	ExitPool     Exit = 5 // the pool, its disks or the store need somebody
)

func (c *Class) Error() string { return c.text }

// Word is what stands for the class in the daemon's protocol.
func (c *Class) Word() string { return c.word }

// Exit is the exit code of a command that ends with such an error.
func (c *Class) Exit() Exit { return c.exit }

// Code is gRPC's code for the class.
func (c *Class) Code() codes.Code { return c.code }

// Of gives the class of an error: the first row of Table that it is, or nil.
func Of(err error) *Class {
	if err == nil {
		return nil
	}
	for _, c := range table {
		if c.has(err) {
			return c
		}
	}
	return nil
}

// All gives every class that an error is of, in the order of Table. An error that
// crosses a connection takes them along.
func All(err error) (all []*Class) {
	if err == nil {
		return nil
	}
	for _, c := range table {
		if c.has(err) {
			all = append(all, c)
		}
	}
	return all
}

func (c *Class) has(err error) bool {
	if errors.Is(err, c) {
		return true
	}
	for _, other := range c.also {
		if errors.Is(err, other) {
			return true
		}
	}
	return false
}

// ByWord gives the class that a word stands for, or nil.
func ByWord(word string) *Class {
	for _, c := range table {
		if c.word == word {
			return c
		}
	}
	return nil
}

// Table gives all classes in the order in which Of looks for them.
func Table() []*Class { return append([]*Class(nil), table...) }

// Wrap adds a class to an error without changing its text. An error that is of the
// class already stays as it is, and nil stays nil.
func Wrap(err error, c *Class) error {
	if err == nil || c == nil || errors.Is(err, c) {
		return err
	}
	return &wrapped{err, c}
}

// Ensure wraps an error with the class that Of finds, so that errors.Is finds it too.
func Ensure(err error) error { return Wrap(err, Of(err)) }

type wrapped struct {
	err   error
	class *Class
}

func (w *wrapped) Error() string   { return w.err.Error() }
func (w *wrapped) Unwrap() []error { return []error{w.err, w.class} }
