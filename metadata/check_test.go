package metadata_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
)

// Check beside changes saw one half of them before and the other after, and called a
// good catalog corrupt.
func TestCheckBesideChanges(t *testing.T) {
	c := newCatalog(t, metadata.Options{})
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			s, err := create(c, metadata.Snapshot{Key: "a", Kind: metadata.Active, Size: 1})
			assert.NoError(t, err)
			_, err = c.Remove(at(c, "a"))
			assert.NoError(t, err)
			assert.NoError(t, c.Forget(s.Thin))
		}
	})
	for range 300 {
		require.NoError(t, c.Check())
	}
	close(stop)
	group.Wait()
}
