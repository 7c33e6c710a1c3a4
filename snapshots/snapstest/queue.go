package snapstest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// QueueForever has writes to full pools wait for room as long as it takes, until the test
// ends. By default they fail after a minute: no_space_timeout of drivers/md/dm-thin.c, a
// parameter of the module, which a pool reads when it becomes full.
func QueueForever(tb testing.TB) {
	tb.Helper()
	const parameter = "/sys/module/dm_thin_pool/parameters/no_space_timeout"
	before, err := os.ReadFile(parameter)
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(parameter, []byte("0"), 0))
	tb.Cleanup(func() { require.NoError(tb, os.WriteFile(parameter, before, 0)) })
}
