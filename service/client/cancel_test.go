package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/service"
	"github.com/veneerdm/veneer/snapshots"
)

// slow is a driver whose Prepare and Walk begin something, wait until their context ends
// and then undo it when they are let.
type slow struct {
	service.Driver
	begun chan string // hears of each that has begun
	undo  chan struct{}
	state atomic.Int32 // how many have begun and are not undone
}

func newSlow(d service.Driver) *slow {
	return &slow{Driver: d, begun: make(chan string), undo: make(chan struct{})}
}

func (s *slow) wait(ctx context.Context, what string) error {
	s.state.Add(1)
	s.begun <- what
	<-ctx.Done()
	<-s.undo
	s.state.Add(-1)
	return &snapshots.OpError{Op: what, Key: "k", Err: ctx.Err()}
}

func (s *slow) Prepare(ctx context.Context, _, _ string, _ ...snapshots.Option) (snapshots.Mount, error) {
	return snapshots.Mount{}, s.wait(ctx, "prepare")
}

func (s *slow) Walk(ctx context.Context, _ func(context.Context, snapshots.Info) error) error {
	return s.wait(ctx, "walk")
}

// A caller whose context ends gets its answer when the daemon has undone the call.
func TestCancelWaitsForTheUndoing(t *testing.T) {
	s := newSlow(newDriver(t))
	socket, _ := serve(t, s)
	c := dial(t, socket)
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := c.Prepare(ctx, "k", ""); return err },
		func(ctx context.Context) error { return c.Walk(ctx, nil) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() { answer <- call(ctx) }()
		what := <-s.begun
		cancel()
		// Others are served meanwhile, although this call has not ended.
		_, err := c.Pool(t.Context())
		require.NoError(t, err)
		select {
		case err := <-answer:
			require.Fail(t, "answered before it was undone", "%v", err)
		case s.undo <- struct{}{}:
		}
		err = <-answer
		require.ErrorIs(t, err, context.Canceled)
		assert.Same(t, class.Canceled, class.Of(err))
		assert.Zero(t, s.state.Load(), "it was undone before the answer")
		if op, ok := errors.AsType[*snapshots.OpError](err); ok { // not when the daemon had ended before it was asked
			assert.Equal(t, what, op.Op)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Prepare(ctx, "k", "")
	require.ErrorIs(t, err, context.Canceled, "what has not begun is not asked for")
}

// A client that dies in the middle of a call ends it.
func TestAClientThatDiesEndsItsCalls(t *testing.T) {
	s := newSlow(newDriver(t))
	socket, stop := serve(t, s)
	c := dial(t, socket)
	answer := make(chan error, 1)
	go func() { _, err := c.Prepare(context.Background(), "k", ""); answer <- err }()
	<-s.begun
	require.NoError(t, c.Close())
	require.Error(t, <-answer)
	s.undo <- struct{}{} // its context has ended
	stop()
	assert.Zero(t, s.state.Load(), "the server ends when all calls have")
}

// A client that does not read holds up nobody else.
func TestAClientThatDoesNotReadHoldsUpNobody(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	for i := range 200 {
		_, err := d.View(ctx, fmt.Sprint(i), "", snapshots.WithLabels(map[string]string{"l": strings.Repeat("x", 100<<10)}))
		require.NoError(t, err)
	}
	inWalk, goOn := make(chan struct{}), make(chan struct{})
	walked := make(chan error, 1)
	first := true
	go func() {
		walked <- c.Walk(ctx, func(context.Context, snapshots.Info) error {
			if first {
				first = false
				close(inWalk)
				<-goOn
			}
			return nil
		})
	}()
	<-inWalk // 20 MiB wait behind this one
	_, err := c.Prepare(ctx, "new", "")
	require.NoError(t, err)
	require.NoError(t, c.Remove(ctx, "new"))
	n := 0
	require.NoError(t, c.Walk(ctx, func(context.Context, snapshots.Info) error { n++; return nil }))
	assert.Equal(t, 200, n)
	close(goOn)
	require.NoError(t, <-walked)
}
