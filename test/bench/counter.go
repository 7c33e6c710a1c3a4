package main

import (
	"fmt"
	"sync/atomic"

	"github.com/veneerdm/veneer/devmapper"
)

// tally is how much of the countable something has done.
type tally struct{ ioctls, transactions int64 }

func (t tally) less(u tally) tally {
	return tally{t.ioctls - u.ioctls, t.transactions - u.transactions}
}

func (t tally) String() string {
	if t == (tally{}) {
		return ""
	}
	return fmt.Sprintf("%d ioctls, %d transactions", t.ioctls, t.transactions)
}

// counter is a transport that counts operations, and the catalogs' hook that counts
// transactions.
type counter struct {
	devmapper.Transport
	ioctls, transactions atomic.Int64
}

func (c *counter) Control(command uint8, buf []byte) error {
	c.ioctls.Add(1)
	return c.Transport.Control(command, buf)
}

// transaction counts the changes of a catalog.
func (c *counter) transaction(string) error {
	c.transactions.Add(1)
	return nil
}

func (c *counter) tally() tally { return tally{c.ioctls.Load(), c.transactions.Load()} }
