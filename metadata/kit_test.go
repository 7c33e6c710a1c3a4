package metadata_test

import "github.com/veneerdm/veneer/metadata"

// at is the record of a snapshot as it is now, or one of no snapshot with that key.
func at(c *metadata.Catalog, key string) metadata.Snapshot {
	s, err := c.Get(key)
	if err != nil {
		return metadata.Snapshot{Key: key}
	}
	return s
}

// create makes a snapshot's record and acknowledges it.
func create(c *metadata.Catalog, s metadata.Snapshot, of ...metadata.Snapshot) (metadata.Snapshot, error) {
	s, err := c.Create(s, of...)
	if err == nil {
		c.Acknowledge(s)
	}
	return s, err
}
