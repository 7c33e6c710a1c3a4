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

// The pauses between two looks grow, so that looking takes little from what is looked at.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 80 * time.Millisecond
)

// ErrHang says that something did not happen, or did not end.
var ErrHang = errors.New("waited for " + Hang.String())

// Until waits until done says true, and fails the test when it never does. done is called
// by the caller's goroutine, so it may end the test itself.
func Until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	require.NoError(tb, until(func() error {
		if done() {
			return nil
		}
		return errNotYet
	}), what)
}

// Succeeds tries until try does not fail, and fails the test with its last error when it
// always does. try is called by the caller's goroutine.
func Succeeds(tb testing.TB, what string, try func() error) {
	tb.Helper()
	require.NoError(tb, until(try), what)
}

var errNotYet = errors.New("it has not happened")

func until(try func() error) error {
	end := time.Now().Add(Hang)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: %w", ErrHang, err)
		}
		<-time.After(pause)
	}
}

// Ends gives what f returns, or ErrHang when it does not end. It is for what may never
// end and cannot be told to; f then goes on.
func Ends(f func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(Hang):
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
