package main

import (
	"bufio"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A machine is told the time from the moment it listens, and not before: the
// signal would end it.
func TestPulse(t *testing.T) {
	cmd := exec.Command("sh", "-c", `sleep 0.3; trap 'echo beat' ALRM; echo listening; while :; do sleep 1 & wait; done`)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end := make(chan struct{})
	go keepTime(cmd, end)
	lines := bufio.NewScanner(out)
	for _, want := range []string{"listening", "beat", "beat", "beat"} {
		require.True(t, lines.Scan(), "it has ended: %v", lines.Err())
		assert.Equal(t, want, lines.Text())
	}
	close(end)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
}
