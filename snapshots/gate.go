package snapshots

import (
	"context"
	"sync"
)

// gate lets operations in until the driver is closed, any number at a time, or one that
// needs the driver for itself: Deactivate and DestroyPool stop the background work, and
// go on with it when they cannot do what they were asked for.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	ruined error         // why no operation can go on but a repeated DestroyPool; nil: they can
	shut   chan struct{} // closed with the gate, or when it is ruined; made when somebody asks for it
	alone  chan struct{} // closed when the one that has the gate alone lets go; nil: nobody has
	empty  chan struct{} // closed when the last one leaves; nil: nobody waits for it
}

// enter lets an operation in. It waits for one that has the gate alone.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		g.mu.Lock()
		if err := g.refusal(); err != nil {
			g.mu.Unlock()
			return nil, err
		}
		if g.alone == nil {
			g.inside++
			g.mu.Unlock()
			return g.leave, nil
		}
		alone := g.alone
		g.mu.Unlock()
		select {
		case <-alone:
		case <-ctx.Done():
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// enterAlone lets one operation in when all others have left, and keeps others out.
func (g *gate) enterAlone(ctx context.Context) (leave func(), err error) {
	g.mu.Lock()
	for g.alone != nil && !g.closed && ctx.Err() == nil {
		g.wait(ctx, g.alone)
	}
	if g.closed || ctx.Err() != nil {
		g.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, ErrClosed
	}
	g.alone = make(chan struct{})
	for g.inside > 0 && ctx.Err() == nil {
		g.wait(ctx, g.whenEmpty())
	}
	g.mu.Unlock()
	if err := ctx.Err(); err != nil {
		g.leaveAlone()
		return nil, err
	}
	return g.leaveAlone, nil
}

func (g *gate) leaveAlone() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.alone)
	g.alone = nil
}

// ruin lets no operation in any more but one that has the gate alone.
func (g *gate) ruin(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tell()
	g.ruined = why
}

// refuse keeps everybody out from now on. Those inside are not disturbed.
func (g *gate) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tell()
	g.closed = true
}

// tell closes the channel of those who wait for the background work, which does not come
// again.
func (g *gate) tell() {
	if g.refusal() == nil && g.shut != nil {
		close(g.shut)
	}
}

// why gives the error that operations get, nil while they are let in.
func (g *gate) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refusal()
}

// refusal is why with the lock held.
func (g *gate) refusal() error {
	if g.closed {
		return ErrClosed
	}
	return g.ruined
}

// close keeps everybody out from now on and waits until all have left.
func (g *gate) close() {
	g.refuse()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.alone != nil || g.inside > 0 {
		if g.alone != nil {
			g.wait(context.Background(), g.alone)
		} else {
			g.wait(context.Background(), g.whenEmpty())
		}
	}
}

// whenShut is closed when operations are let in no more; why then says the reason.
func (g *gate) whenShut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
		if g.refusal() != nil {
			close(g.shut)
		}
	}
	return g.shut
}

func (g *gate) whenEmpty() chan struct{} {
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	return g.empty
}

// wait waits for a channel or the context without the lock.
func (g *gate) wait(ctx context.Context, c <-chan struct{}) {
	g.mu.Unlock()
	defer g.mu.Lock()
	select {
	case <-c:
	case <-ctx.Done():
	}
}
