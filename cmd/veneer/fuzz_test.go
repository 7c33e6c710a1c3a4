package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A configuration file of any bytes: it is taken, or refused in one sentence.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte("root = \"/tmp/x\"\n[pool]\nsize = \"10G\"\nmkfs_options = [\"-O\", \"quota\"]\n"))
	f.Add([]byte("min_free_data = nan\n[pool]\nblock_size = \"64KiB\"\nbase_size = -1\n"))
	f.Add([]byte("[pool]\nsize = \"9999999999999E\"\n"))
	f.Add([]byte("unknown = 1\n[[pool]]\n"))
	f.Add([]byte("log_level = \"x\"\nprogress = 3\n\x00"))
	path := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		var stdout, stderr strings.Builder
		code := run([]string{"--config", path, "config", "check"}, nil, &stdout, &stderr)
		if code != 0 {
			require.True(t, strings.HasPrefix(stderr.String(), "veneer: "), "%d %q", code, stderr.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
		}
	})
}
