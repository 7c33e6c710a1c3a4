package command

import (
	"fmt"
	"strings"
	"unicode"
)

// An Error is a program that could not be started, ended with another status than 0 or
// was killed. It wraps *exec.ExitError where the program has run, and the context's
// error where that was why it was killed.
type Error struct {
	Program string
	Args    []string
	Status  int    // the exit status, -1 when a signal ended it or it never ran
	Said    string // in one line: the ends of its standard error, or else of its output

	causes []error
}

// Error names the program, its subcommand if it has one, the exit status and what the
// program said.
func (e *Error) Error() string {
	what := e.Program
	if len(e.Args) > 0 && !strings.HasPrefix(e.Args[0], "-") {
		what += " " + line(e.Args[0])
	}
	reasons := make([]string, len(e.causes))
	for i, cause := range e.causes {
		reasons[i] = cause.Error()
	}
	text := what + ": " + strings.Join(reasons, ": ")
	if e.Said != "" {
		text += ": " + e.Said
	}
	return text
}

// Unwrap gives the errors that it wraps.
func (e *Error) Unwrap() []error { return e.causes }

// line folds a text into one line that a terminal shows as it is.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.Join(strings.Fields(text), " "))
}

// endSize is how many bytes of a program's standard error are kept from the beginning,
// and as many from the end. The reason is in the first lines or in the last.
const endSize = 2 << 10

// ends keeps the beginning and the end of what is written to it.
type ends struct {
	first, last []byte
	left        int // bytes between the two, which are not kept
}

func (e *ends) Write(p []byte) (int, error) {
	n := len(p)
	room := min(endSize-len(e.first), n)
	e.first, p = append(e.first, p[:room]...), p[room:]
	e.last = append(e.last, p...)
	if more := len(e.last) - endSize; more > 0 {
		e.left += more
		e.last = append(e.last[:0], e.last[more:]...)
	}
	return n, nil
}

func (e *ends) String() string {
	if e.left == 0 {
		return string(e.first) + string(e.last)
	}
	return fmt.Sprintf("%s [%d bytes left out] %s", e.first, e.left, e.last)
}
