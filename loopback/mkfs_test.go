package loopback

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func makeExt4(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command("mkfs.ext4", "-q", "-F", path)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
