//go:build sabotage

package metadata

import "sync"

// Sabotage is mistakes that a catalog makes on purpose: tests that have power cut prove
// that they would notice.
type Sabotage struct {
	// SkipTrash forgets what is removed.
	SkipTrash bool
	// LateRecords acknowledges a new snapshot before it is recorded.
	LateRecords bool
}

// mistakes is the state of a Sabotage. With LateRecords a transaction is tried and taken
// back, acknowledged, and done for good before the next one.
type mistakes struct{ *saboteur }

type saboteur struct {
	Sabotage
	mu      sync.Mutex
	pending func(*txn) error
}

func mistakesOf(s Sabotage) mistakes { return mistakes{&saboteur{Sabotage: s}} }

func (m *saboteur) skipsTrash() bool { return m.SkipTrash }

// recorder gives what records a new snapshot.
func (m *saboteur) recorder(c *Catalog) func(method string, f func(*txn) error) error {
	if !m.LateRecords {
		return c.update
	}
	return func(_ string, f func(*txn) error) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.write(c); err != nil {
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
			m.pending = f
		}
		return err
	}
}

// catchUp records what was postponed. Whoever comes meanwhile waits for it, so that
// within the process nobody sees the mistake.
func (m *saboteur) catchUp(c *Catalog) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(c)
}

func (m *saboteur) write(c *Catalog) error {
	f := m.pending
	m.pending = nil
	if f == nil {
		return nil
	}
	return c.transact("late", f)
}
