package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTableSaysWhatIsMissed(t *testing.T) {
	const ms = time.Millisecond
	var all table
	all.add(row{operation: "prepare", took: [sideCount]samples{{2 * ms, 9 * ms, 1 * ms}, {20 * ms, 20 * ms}, {ms}}, devmapperLimit: 0.1})
	assert.True(t, all.met(), "the median of ours is 2 ms, a tenth of 20 ms")
	all.add(row{operation: "start", took: [sideCount]samples{{13 * ms}, {20 * ms}, {10 * ms}}, overlayLimit: 1.2})
	assert.False(t, all.met(), "1.3 times as long")
	all.add(row{operation: "chain", took: [sideCount]samples{{ms}, {40 * ms}}})
	var out strings.Builder
	require.NoError(t, all.print(&out))
	lines := strings.Split(out.String(), "\n")
	assert.Contains(t, lines[2], "| met")
	assert.Contains(t, lines[2], "10.0 x")
	assert.Contains(t, lines[3], "| MISSED")
	assert.Contains(t, lines[3], "1.30 x")
	assert.NotRegexp(t, "met|MISSED", lines[4], "without a target there is no verdict")
}

func TestMedian(t *testing.T) {
	assert.Zero(t, samples(nil).median())
	assert.Equal(t, time.Duration(2), samples{3, 1, 2}.median())
	assert.Equal(t, time.Duration(25), samples{40, 10, 20, 30}.median(), "between the two in the middle")
}
