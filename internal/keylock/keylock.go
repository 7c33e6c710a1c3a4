// Package keylock locks by key, so that two callers who want the same thing wait
// for each other and two who want different things do not.
package keylock

import (
	"context"
	"sync"
)

// Locks is a set of locks by key. The zero value is ready to use.
type Locks[K comparable] struct {
	mu   sync.Mutex
	held map[K]chan struct{} // closed when released
}

// Lock waits for the lock called key, or for ctx to end. Release it by calling
// the function returned, once.
func (l *Locks[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	for {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[K]chan struct{}{}
		}
		released, taken := l.held[key]
		if !taken {
			released = make(chan struct{})
			l.held[key] = released
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, key)
				l.mu.Unlock()
				close(released)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
