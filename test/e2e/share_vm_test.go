package e2e_test

import (
	"compress/gzip"
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
)

// What images have in common is stored once, and comes back with the last of them:
// B is a base, C adds a large file, D a command to C, E is C's content built again
// elsewhere.
func TestImagesShareWhatTheyHaveInCommon(t *testing.T) {
	onTheKernel(t)
	const large = 300 * mib
	s := newStore(t, "ext4", func(o *snapshots.PoolOptions) { o.BaseSize = gib })
	b := on(t, scratchImage(t), small(t, folder("etc"), file("etc/os-release", "ID=b\n"), noise("lib.so", 2*mib, 1)))
	c := on(t, b, layerOf(t, gzip.NoCompression, noise("model.bin", large, 2)))
	d := withCommand(t, c, "serve")
	e := on(t, b, layerOf(t, gzip.BestSpeed, noise("model.bin", large, 2)))
	s.bring(t, "example.com/b:1", b)

	before, storedBefore := s.used(t), s.stored(t)
	cImage := s.bring(t, "example.com/c:1", c)
	cost := s.used(t) - before
	assert.InEpsilon(t, large, cost, 0.02, "the pool grows by what C adds")
	assert.GreaterOrEqual(t, s.stored(t)-storedBefore, int64(large))
	t.Logf("C of %d bytes costs %d bytes of the pool", large, cost)

	withC, stored := s.used(t), s.stored(t)
	dImage := s.bring(t, "example.com/d:1", d)
	cost = s.used(t) - withC
	t.Logf("D, a command on C, costs %d bytes", cost)
	assert.Zero(t, cost, "a command is no layer")
	assert.Equal(t, cImage.Top(), dImage.Top())
	assert.NotEqual(t, cImage.ID(), dImage.ID())

	emptyOnTop := on(t, c, small(t))
	dLayer := s.bring(t, "example.com/d:empty-layer", withCommand(t, emptyOnTop, "serve"))
	assert.Len(t, dLayer.Layers, 3)
	cost = s.used(t) - withC
	t.Logf("D with an empty layer for its command, as some builders make it, costs %d bytes", cost)
	assert.Less(t, cost, int64(256*kib))

	withD := s.used(t)
	eImage := s.bring(t, "example.com/e:1", e)
	assert.Equal(t, withD, s.used(t), "E is content that is there already")
	assert.Equal(t, cImage.Top(), eImage.Top())
	assert.NotEqual(t, cImage.Layers[1].Digest, eImage.Layers[1].Digest, "although its blob is another")

	gone := s.forget(t, "example.com/c:1")
	assert.Empty(t, gone.Layers)
	assert.Equal(t, withD, s.used(t), "D and E stand on C's layers")
	assert.GreaterOrEqual(t, s.stored(t), stored)

	s.forget(t, "example.com/d:empty-layer")
	s.forget(t, "example.com/d:1")
	assert.Equal(t, withC, s.used(t), "E needs the large file still")
	gone = s.forget(t, "example.com/e:1")
	assert.Len(t, gone.Layers, 1)
	assert.Equal(t, before, s.used(t))
	t.Logf("the data file took %d bytes before C, %d with it, %d after all were removed", storedBefore, stored, s.stored(t))
	assert.InEpsilon(t, large, stored-s.stored(t), 0.02, "the filesystem below has the space again")

	s.forget(t, "example.com/b:1")
	require.NoError(t, s.Walk(t.Context(), func(_ context.Context, i snapshots.Info) error {
		assert.Fail(t, "a snapshot is left", i.Key)
		return nil
	}))
}
