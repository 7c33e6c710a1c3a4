package devmapper

import (
	"context"
	"errors"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Watcher tells of events on any device: created, removed, renamed, or raised by
// a target, as a pool does when it runs low. One goroutine at a time waits; Close may be
// called by any.
type Watcher struct{ c *Client }

// Watch opens a watcher on a descriptor of its own, which outlives the Client. Events
// count from now on. ErrNotSupported says that the kernel is older than interface 4.37;
// WaitEvent serves there.
func (c *Client) Watch() (*Watcher, error) {
	t, err := c.fork()
	if err != nil {
		return nil, err
	}
	w := &Watcher{c: New(t)}
	if err := w.arm(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// HasEvents reports whether the kernel can be watched: its interface is 4.37 or later.
func (c *Client) HasEvents() (bool, error) { return c.atLeast(listsEvents) }

// fork opens another descriptor of the control node.
func (c *Client) fork() (Transport, error) {
	if err := c.calls.begin(); err != nil {
		return nil, err
	}
	defer c.calls.end()
	return c.t.Fork()
}

func (w *Watcher) arm() error {
	_, _, err := w.c.do(call{cmd: uapi.DevArmPoll})
	return err
}

// Wait returns after at least one event since Watch or the Wait before, or with
// the context's error, or with ErrClosed when the watcher is closed meanwhile. Which
// device it was, List tells by its event numbers.
func (w *Watcher) Wait(ctx context.Context) error {
	if err := w.c.calls.begin(); err != nil {
		return err
	}
	defer w.c.calls.end()
	waiting, why, cancel := w.c.calls.wait(ctx)
	defer cancel()
	if err := w.c.t.Wait(waiting); err != nil {
		if ended := why(); ended != nil {
			return ended
		}
		return err
	}
	return w.arm()
}

// Close ends the watcher: a Wait that is under way returns first.
func (w *Watcher) Close() error { return w.c.Close() }

// WaitEvent returns when the device's event counter has passed last, and gives its
// state. It blocks in the kernel, which knows no other way before interface 4.37: when
// ctx ends or the Client is closed first, a thread stays there, with a descriptor of its
// own, until the device's next event or removal.
func (c *Client) WaitEvent(ctx context.Context, ref Ref, last uint32) (Info, error) {
	t, err := c.fork()
	if err != nil {
		return Info{}, err
	}
	type answer struct {
		info Info
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		own := New(t)
		h, _, err := own.do(call{cmd: uapi.DevWait, ref: ref, event: last, reply: true})
		a := answer{err: errors.Join(err, own.Close())}
		if a.err == nil {
			a.info = infoFrom(h)
		}
		done <- a
	}()
	waiting, why, cancel := c.calls.wait(ctx)
	defer cancel()
	select {
	case a := <-done:
		return a.info, a.err
	case <-waiting.Done():
		return Info{}, why()
	}
}
