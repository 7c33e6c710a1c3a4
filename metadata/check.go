package metadata

import (
	"errors"
	"fmt"
	"maps"

	bolt "go.etcd.io/bbolt"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Check verifies the catalog's own rules and gives everything that breaks one,
// joined; nil when all is well. Each thin id has one owner, parents are committed,
// views own nothing, and the index says what the records do. Changes wait meanwhile.
func (c *Catalog) Check() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	var found []error
	bad := func(format string, args ...any) {
		found = append(found, fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...)))
	}
	var snapshots []Snapshot
	err := c.view(func(tx *bolt.Tx) error {
		return eachSnapshot(tx, func(s Snapshot) { snapshots = append(snapshots, s) })
	})
	if err != nil {
		return err
	}
	templates, err := c.Templates()
	if err != nil {
		return err
	}
	trash, err := c.Trash()
	if err != nil {
		return err
	}
	owners := map[dmthin.ThinID]string{}
	own := func(id dmthin.ThinID, who string) {
		if other, taken := owners[id]; taken {
			bad("thin %s belongs to %q and to %q", id, other, who)
		}
		owners[id] = who
	}
	byKey := map[string]Snapshot{}
	serials := map[uint64]string{}
	implied := newIndex()
	for _, s := range snapshots {
		byKey[s.Key] = s
		if other, taken := serials[s.Serial]; taken {
			bad("snapshots %q and %q have one serial, %d", other, s.Key, s.Serial)
		}
		serials[s.Serial] = s.Key
		if s.OwnsThin() {
			own(s.Thin, s.Key)
		}
		implied.link(s.Parent, s.Key)
	}
	for _, s := range snapshots {
		parent, ok := byKey[s.Parent]
		switch {
		case s.Parent == "":
		case !ok:
			bad("snapshot %q has no parent %q", s.Key, s.Parent)
		case parent.Kind != Committed:
			bad("parent %q of %q is %s", s.Parent, s.Key, parent.Kind)
		case s.Kind == View && s.Thin != parent.Thin:
			bad("view %q shows thin %s, its parent has %s", s.Key, s.Thin, parent.Thin)
		case s.Size < parent.Size && !parent.Lost:
			bad("snapshot %q is smaller than its parent", s.Key)
		}
	}
	for _, t := range templates {
		own(t.Thin, "template "+t.Name)
	}
	for _, t := range trash {
		own(t.Thin, "trash")
	}
	for id := range owners {
		implied.take(id)
	}
	c.index.mu.RLock()
	defer c.index.mu.RUnlock()
	if !maps.Equal(implied.taken, c.index.taken) || !maps.EqualFunc(implied.children, c.index.children, maps.Equal) {
		bad("the index of the open catalog differs from its records")
	}
	return errors.Join(found...)
}
