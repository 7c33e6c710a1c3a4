package dmtest

import (
	"context"
	"syscall"

	"github.com/veneerdm/veneer/devmapper"
)

// Fork opens a descriptor of the control node, with event state of its own. Unlike the
// Kernel itself, which outlives its clients, it can be closed: see LateCalls.
func (k *Kernel) Fork() (devmapper.Transport, error) { return &port{k: k}, nil }

// LateCalls counts operations on descriptors that were closed, before the operation began
// or while it was under way. On Linux they reach whatever file has the number by then.
func (k *Kernel) LateCalls() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.late
}

// Wait on the kernel itself never sees an event: only a fork can be armed.
func (k *Kernel) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Close does nothing: the kernel outlives its clients.
func (k *Kernel) Close() error { return nil }

// port is a forked descriptor.
type port struct {
	k        *Kernel
	armed    uint64
	closed   bool
	underWay int // operations and waits
}

func (p *port) Control(command uint8, buf []byte) error { return p.k.control(command, buf, p) }
func (p *port) Fork() (devmapper.Transport, error)      { return p.k.Fork() }

// Close closes the descriptor, whatever is under way on it.
func (p *port) Close() error {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.closed {
		return syscall.EBADF
	}
	p.closed = true
	p.k.late += p.underWay
	return nil
}

func (p *port) Wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		p.k.mu.Lock()
		defer p.k.mu.Unlock()
		p.k.changed.Broadcast()
	})
	defer stop()
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.closed {
		p.k.late++
		return syscall.EBADF
	}
	p.underWay++
	defer func() { p.underWay-- }()
	for p.k.events == p.armed {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.k.changed.Wait()
	}
	return nil
}
