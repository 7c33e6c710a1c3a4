package devmapper

import (
	"context"
	"errors"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// Watcher tells of events on any device: created, removed, renamed, or raised by
// a target, as a pool does when it runs low. It belongs to one goroutine.
type Watcher struct{ c *Client }

// Watch opens a watcher on a descriptor of its own. Events count from now on.
// ErrNotSupported says that the kernel is older than interface 4.37; WaitEvent
// serves there.
func (c *Client) Watch() (*Watcher, error) {
	t, err := c.t.Fork()
	if err != nil {
		return nil, err
	}
	w := &Watcher{c: New(t)}
	if err := w.arm(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return w, nil
}

func (w *Watcher) arm() error {
	_, _, err := w.c.do(call{cmd: uapi.DevArmPoll})
	return err
}

// Wait returns after at least one event since Watch or the Wait before, or with
// the context's error. Which device it was, List tells by its event numbers.
func (w *Watcher) Wait(ctx context.Context) error {
	if err := w.c.t.Wait(ctx); err != nil {
		return err
	}
	return w.arm()
}

// Close ends the watcher.
func (w *Watcher) Close() error { return w.c.Close() }

// WaitEvent returns when the device's event counter has passed last, and gives its
// state. It blocks in the kernel, which knows no other way before interface 4.37:
// when ctx ends first, a thread stays there until the device's next event or removal.
func (c *Client) WaitEvent(ctx context.Context, ref Ref, last uint32) (Info, error) {
	type answer struct {
		info Info
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		h, _, err := c.do(call{cmd: uapi.DevWait, ref: ref, event: last, reply: true})
		if err != nil {
			done <- answer{err: err}
			return
		}
		done <- answer{info: infoFrom(h)}
	}()
	select {
	case a := <-done:
		return a.info, a.err
	case <-ctx.Done():
		return Info{}, ctx.Err()
	}
}
