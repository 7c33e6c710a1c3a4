package metadata_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
)

// Who has read a record changes that snapshot, or none: never a later one that has its
// key.
func TestAnotherSnapshotWithTheKey(t *testing.T) {
	c := newCatalog(t, metadata.Options{})
	make := func() metadata.Snapshot {
		s, err := create(c, metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
		require.NoError(t, err)
		return s
	}
	was := make()
	_, err := c.Remove(was)
	require.NoError(t, err)
	now := make()
	fresh, err := c.Reserve(1, "rollback of a")
	require.NoError(t, err)
	for name, change := range map[string]func() error{
		"commit":       func() error { _, err := c.Commit(was, "b", nil); return err },
		"commit copy":  func() error { _, err := c.CommitCopy(was, "b", fresh, nil); return err },
		"update":       func() error { _, err := c.Update(was, func(*metadata.Snapshot) error { return nil }); return err },
		"replace thin": func() error { _, err := c.ReplaceThin(was, fresh, 1); return err },
		"create": func() error {
			_, err := create(c, metadata.Snapshot{Key: "of it", Kind: metadata.Active, Size: 1}, was)
			return err
		},
		"remove": func() error { _, err := c.Remove(was); return err },
	} {
		assert.ErrorIs(t, change(), metadata.ErrNotFound, name)
	}
	assert.Equal(t, now, at(c, "a"))
	now, err = c.ReplaceThin(now, fresh, 1)
	require.NoError(t, err)
	_, err = c.Commit(now, "b", nil)
	require.NoError(t, err)
	require.NoError(t, c.Check())
}
