package metadata

import "sync"

// lateRecords is the mistake that Options.LateRecords makes on purpose: a transaction
// is tried and taken back, acknowledged, and done for good before the next one. A nil
// one makes no mistake.
type lateRecords struct {
	mu      sync.Mutex
	pending func(*txn) error
}

// postpone gives an update that happens later.
func (l *lateRecords) postpone(c *Catalog) func(method string, f func(*txn) error) error {
	return func(_ string, f func(*txn) error) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.write(c); err != nil {
			return err
		}
		begun, err := c.db.Begin(true)
		if err != nil {
			return err
		}
		tx := &txn{Tx: begun, index: c.index}
		err = guarded(func() error { return f(tx) })
		_ = tx.Rollback() // cannot go wrong in an open transaction
		if err == nil {
			l.pending = f
		}
		return err
	}
}

// flush records what was postponed. Whoever comes meanwhile waits for it, so that
// within the process nobody sees the mistake.
func (l *lateRecords) flush(c *Catalog) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(c)
}

func (l *lateRecords) write(c *Catalog) error {
	f := l.pending
	l.pending = nil
	if f == nil {
		return nil
	}
	return c.transact("late", f)
}
