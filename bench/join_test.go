package bench_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/bench"
)

func TestJoin(t *testing.T) {
	one, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a"}}, asks{name: "first", cases: []bench.Case{write(1)}}))
	require.NoError(t, err)
	two, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a"}}, asks{name: "second", cases: []bench.Case{write(2)}}))
	require.NoError(t, err)
	both, err := bench.Join(one, two)
	require.NoError(t, err)
	assert.Len(t, both.Scenarios, 2)
	assert.Len(t, both.Cells, 2)
	assert.Len(t, one.Cells, 1, "the parts stay as they are")

	_, err = bench.Join(one, one)
	require.ErrorIs(t, err, bench.ErrUnlike)
	assert.ErrorContains(t, err, "first is in two of them")
	other, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "b"}}, asks{name: "third"}))
	require.NoError(t, err)
	three, err := bench.Join(one, two, other)
	require.NoError(t, err)
	assert.Len(t, three.Backends, 2)
	other.Backends[0].Name = "a"
	other.Backends[0].Text = "something else"
	_, err = bench.Join(one, other)
	require.ErrorIs(t, err, bench.ErrUnlike)
	assert.ErrorContains(t, err, "backends")
	_, err = bench.Join()
	require.ErrorIs(t, err, bench.ErrUnlike)
}
