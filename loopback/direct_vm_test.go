package loopback

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// overlayfs says that it can do direct I/O, even where the filesystem below it cannot:
// the kernel binds the device, and every read of it is an error.
func TestAttachOnOverlayfs(t *testing.T) {
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	for _, below := range []struct {
		name   string
		mount  bool
		direct bool
	}{{"ext4", false, true}, {"tmpfs", true, false}} {
		t.Run(below.name, func(t *testing.T) {
			dir := t.TempDir()
			if below.mount {
				mount(t, "tmpfs", dir, "")
			}
			for _, name := range []string{"lower", "upper", "work", "merged"} {
				require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
			}
			merged := filepath.Join(dir, "merged")
			mount(t, "overlay", merged, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir))
			path := filepath.Join(merged, "image")
			require.NoError(t, CreateImage(path, mib))
			require.NoError(t, writeName(path))

			d, err := Attach(t.Context(), path, Options{DirectIO: true, BlockSize: 4096})
			require.NoError(t, err)
			assert.Equal(t, below.direct, d.DirectIO)
			assertContent(t, d, path)
			require.NoError(t, d.Detach(t.Context()))
		})
	}
}

func mount(t *testing.T, fstype, dir, options string) {
	t.Helper()
	require.NoError(t, unix.Mount("none", dir, fstype, 0, options))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, 0)) })
}
