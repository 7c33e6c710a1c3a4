package helptest

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const golden = "testdata/help.txt"

var update = flag.Bool("update", false, "write "+golden+" anew")

// Check asks every command of a program for its help and compares it with the page in
// testdata/help.txt; go test -update writes that anew. Every command says in a line
// what it does, and does something.
func Check(t *testing.T, root *cobra.Command, run func(words []string, stdout, stderr io.Writer) int) {
	t.Helper()
	var got strings.Builder
	var each func(c *cobra.Command, words []string)
	each = func(c *cobra.Command, words []string) {
		var stdout, stderr strings.Builder
		assert.Zero(t, run(append(words, "--help"), &stdout, &stderr), c.CommandPath())
		assert.Contains(t, stdout.String(), c.UseLine())
		assert.Empty(t, stderr.String(), c.CommandPath())
		assert.NotEmpty(t, c.Short, c.CommandPath())
		assert.True(t, c.RunE != nil || c.Run != nil, "%s does something, if only to refuse", c.CommandPath())
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
	each(root, nil)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String())
}
