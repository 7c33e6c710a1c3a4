package waittest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Hang is how long a wait takes for whatever never happens. It is many times what any
// step of a test takes on a machine at a tenth of the usual speed, and less than go
// test's own timeout, so that the test that hangs is the one that is named.
const Hang = 20 * time.Minute

// pause is how often Until looks.
const pause = 5 * time.Millisecond

// ErrHang says that something did not happen, or did not end.
var ErrHang = errors.New("waited for " + Hang.String())

// Until waits until done says true, and fails the test when it never does. done is called
// by the caller's goroutine, so it may end the test itself.
func Until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	require.NoError(tb, until(Hang, done), what)
}

func until(bound time.Duration, done func() bool) error {
	end := time.Now().Add(bound)
	for !done() {
		if time.Now().After(end) {
			return ErrHang
		}
		<-time.After(pause)
	}
	return nil
}

// Ends gives what f returns, or ErrHang when it does not end. It is for what may never
// end and cannot be told to; f then goes on.
func Ends(f func() error) error { return ends(Hang, f) }

func ends(bound time.Duration, f func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(bound):
		return ErrHang
	}
}

// Context is the test's own context with the bound of Hang.
func Context(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeoutCause(tb.Context(), Hang, fmt.Errorf("%w: %s", ErrHang, tb.Name()))
	tb.Cleanup(cancel)
	return ctx
}
