//go:build !sabotage

package metadata

// Sabotage is empty: this build makes no mistakes on purpose.
type Sabotage struct{}

type mistakes struct{}

func mistakesOf(Sabotage) mistakes { return mistakes{} }

func (mistakes) skipsTrash() bool { return false }

func (mistakes) recorder(c *Catalog) func(string, func(*txn) error) error { return c.update }

func (mistakes) catchUp(*Catalog) error { return nil }
