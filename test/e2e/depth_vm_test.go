package e2e_test

import (
	"fmt"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A container stands on a snapshot and not on a stack, so depth costs nothing.
func TestAnImageMayBe128LayersDeep(t *testing.T) {
	onTheKernel(t)
	const depth = 128
	layers := make([]v1.Layer, depth)
	for i := range layers {
		layers[i] = small(t, folder("layers"), file(fmt.Sprintf("layers/%03d", i), fmt.Sprintf("from layer %d", i)), file("top", fmt.Sprint(i)))
	}
	s := newStore(t, "ext4", nil)
	r := s.bring(t, "example.com/deep:1", on(t, scratchImage(t), layers...))
	require.Len(t, r.Layers, depth)

	box := s.container(t, "box", r.Top())
	for i := range depth {
		got, err := os.ReadFile(at(box, fmt.Sprintf("layers/%03d", i)))
		if assert.NoError(t, err) {
			assert.Equal(t, fmt.Sprintf("from layer %d", i), string(got))
		}
	}
	got, err := os.ReadFile(at(box, "top"))
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint(depth-1), string(got))
	require.NoError(t, os.WriteFile(at(box, "layers/000"), []byte("changed"), 0o644))
	require.NoError(t, box.Close())

	middle := s.look(t, r.Layers[63].ChainID.String())
	assert.Len(t, middle, 64+3, "a layer in the middle holds what was there then: 64 files, /, /layers and /top")
	require.NoError(t, s.Remove(t.Context(), "box"))
	gone := s.forget(t, r.Name)
	assert.Len(t, gone.Layers, depth)
}
