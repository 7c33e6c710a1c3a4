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
