package metadata

import "github.com/veneerdm/veneer/metadata/dmthin"

// Acknowledge says that the snapshot has been made and its maker is told: from now on
// others see it. It writes nothing. The file learns it with the next transaction that
// makes something, with SaveAcknowledged or with Close; until then a crash leaves it as
// creating, and the presence of its thin device in the pool decides.
func (c *Catalog) Acknowledge(s Snapshot) { c.index.acknowledge(s.Serial) }

// SaveAcknowledged writes down what has been acknowledged, if the file does not say so.
// It is for quiet moments: no acknowledgement waits for it.
func (c *Catalog) SaveAcknowledged() error {
	if _, unsaved := c.index.acknowledged(); !unsaved {
		return nil
	}
	return c.update(func(tx *txn) error { return tx.saveAcknowledged() })
}

// Unsaved says whether SaveAcknowledged has something to write.
func (c *Catalog) Unsaved() bool {
	_, unsaved := c.index.acknowledged()
	return unsaved
}

// Clock is how many thin devices the catalog has ever recorded in its pool, at least:
// every snapshot is counted before the pool makes it. The pool's own snapshot time is
// never larger, unless the catalog is older than the pool. 0 says that nobody knows.
func (c *Catalog) Clock() uint32 {
	c.index.mu.RLock()
	defer c.index.mu.RUnlock()
	return c.index.clock
}

// SetClock tells the catalog the pool's snapshot time. It is on the disk with the next
// thin device that is recorded.
func (c *Catalog) SetClock(time uint32) {
	c.index.mu.Lock()
	defer c.index.mu.Unlock()
	c.index.clock = time
}

// SkipThins makes sure that ids are not handed out as long as the catalog is open: the
// pool has them and no record does.
func (c *Catalog) SkipThins(ids []dmthin.ThinID) {
	c.index.mu.Lock()
	defer c.index.mu.Unlock()
	for _, id := range ids {
		if !c.index.taken[id] {
			c.index.unknown[id] = true
		}
	}
}
