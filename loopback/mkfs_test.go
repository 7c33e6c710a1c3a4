package loopback

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/internal/command"
)

func makeExt4(t *testing.T, path string) {
	t.Helper()
	_, err := command.Run(t.Context(), "mkfs.ext4", "-q", "-F", path)
	require.NoError(t, err)
}
