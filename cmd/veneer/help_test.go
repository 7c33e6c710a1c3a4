package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/help.txt anew")

// What every command says of itself is one page, so that a change to the program's
// face is seen as one. After a change that is meant: go test ./cmd/veneer -update
func TestHelp(t *testing.T) {
	const golden = "testdata/help.txt"
	var got strings.Builder
	var each func(c *cobra.Command, words []string)
	each = func(c *cobra.Command, words []string) {
		var stdout, stderr strings.Builder
		assert.Zero(t, run(append(words, "--help"), nil, &stdout, &stderr), c.CommandPath())
		assert.Contains(t, stdout.String(), c.UseLine())
		assert.Empty(t, stderr.String(), c.CommandPath())
		about := c.Long
		if about == "" {
			about = c.Short
		}
		fmt.Fprintf(&got, "# %s\n\n%s\n\n", c.UseLine(), about)
		if flags := c.LocalFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&got, "%s\n", flags)
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				each(sub, append(slices.Clip(words), sub.Name()))
			}
		}
	}
	each((&app{}).command(), nil)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String())
}

// Every command says in a line what it does, and names its arguments.
func TestEveryCommandIsDescribed(t *testing.T) {
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.True(t, c.RunE != nil || c.Run != nil, "%s does something, if only to refuse", c.CommandPath())
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each((&app{}).command())
}
