package devmapper

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed says that the Client or Watcher is closed. Nothing was done.
var ErrClosed = errors.New("device-mapper client is closed")

// calls counts the calls that use a descriptor, so that it is closed when there are none.
// The kernel gives the number of a closed descriptor to the next file that is opened: a
// late call would reach that file.
type calls struct {
	mu       sync.Mutex
	underWay int
	closed   bool
	idle     chan struct{} // closed when close was called and no call is under way

	closing context.Context // ends with ErrClosed as its cause when close is called
	cancel  context.CancelCauseFunc
}

func newCalls() *calls {
	c := &calls{idle: make(chan struct{})}
	c.closing, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// begin enters a call that must be ended, or gives ErrClosed.
func (c *calls) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.underWay++
	return nil
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	if c.closed && c.underWay == 0 {
		close(c.idle)
	}
}

// close lets no more calls begin, ends those that wait for an event and returns when none
// is under way. first is false when it was called before.
func (c *calls) close() (first bool) {
	c.mu.Lock()
	if first = !c.closed; first {
		c.closed = true
		if c.underWay == 0 {
			close(c.idle)
		}
	}
	c.mu.Unlock()
	c.cancel(ErrClosed)
	<-c.idle
	return first
}

// wait gives a context for a call that waits: it ends with ctx, or when close is called.
// why is the context's error, or ErrClosed.
func (c *calls) wait(ctx context.Context) (waiting context.Context, why func() error, cancel func()) {
	waiting, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.closing, func() { end(ErrClosed) })
	why = func() error {
		if errors.Is(context.Cause(waiting), ErrClosed) {
			return ErrClosed
		}
		return ctx.Err()
	}
	return waiting, why, func() { stop(); end(nil) }
}
