package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// When CMD has left a child with its streams, reading ends at a deadline. What CMD wrote
// and nobody had the time to read arrives all the same.
func TestOutputIsCompleteAfterTheDeadline(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close() // the child has it still
	text := strings.Repeat("written by CMD\n", 4000)
	_, err = w.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, r.SetReadDeadline(time.Now()))
	var channel bytes.Buffer
	(&guest{frames: &frameWriter{w: &channel}}).relay(frameStdout, r)
	var got strings.Builder
	for channel.Len() > 0 {
		kind, payload, err := readFrame(&channel)
		require.NoError(t, err)
		assert.Equal(t, frameStdout, kind)
		got.Write(payload)
	}
	assert.Equal(t, text, got.String())
}
