package service

import (
	"context"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/veneerdm/veneer/service/internal/wire"
)

// calls are those under way that have a name, which their clients gave them.
type calls struct {
	mu    sync.Mutex
	named map[string]*namedCall
}

type namedCall struct {
	ended chan struct{}
	err   error // that it ended with, once ended is closed
}

// begin notes a call, if it has a name. The result is called with its error when it ends.
func (c *calls) begin(ctx context.Context) (end func(error)) {
	md, _ := metadata.FromIncomingContext(ctx)
	names := md.Get(wire.CallHeader)
	if len(names) != 1 || len(names[0]) > wire.MaxCallName {
		return func(error) {}
	}
	name := names[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.named[name] != nil {
		return func(error) {} // names are random: this one is not meant well
	}
	if c.named == nil {
		c.named = map[string]*namedCall{}
	}
	call := &namedCall{ended: make(chan struct{})}
	c.named[name] = call
	return func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.named, name)
		call.err = err
		close(call.ended)
	}
}

// await waits for a call to end, and gives what it ended with. known says that it was
// under way.
func (c *calls) await(ctx context.Context, name string) (known bool, ended, err error) {
	c.mu.Lock()
	call := c.named[name]
	c.mu.Unlock()
	if call == nil {
		return false, nil, nil
	}
	select {
	case <-call.ended:
		return true, call.err, nil
	case <-ctx.Done():
		return true, nil, ctx.Err()
	}
}
