package proxy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots/proxy"
)

// containerd mounts what the labels ask for: on the disk files are root's, in the
// container's user namespace they are root's too, and here they belong to the user
// that it maps to. No file is changed for that, so no block is copied.
func TestMappedOwnersOnAKernel(t *testing.T) {
	requireVM(t)
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			d, dir, err := open(t.Context(), filesystem)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, destroy(d, dir)) })
			s := proxy.New(d)
			target := t.TempDir()
			for up := target; up != os.TempDir(); up = filepath.Dir(up) {
				require.NoError(t, os.Chmod(up, 0o755)) // for a user who is not root
			}
			owner := func(name string) [2]uint32 {
				t.Helper()
				var st syscall.Stat_t
				require.NoError(t, syscall.Lstat(filepath.Join(target, name), &st))
				return [2]uint32{st.Uid, st.Gid}
			}

			plain, err := s.Prepare(t.Context(), "plain", "")
			require.NoError(t, err)
			require.NoError(t, mount.All(plain, target))
			require.NoError(t, os.WriteFile(filepath.Join(target, "rooted"), []byte("x"), 0o600))
			require.NoError(t, mount.UnmountAll(target, 0))
			require.NoError(t, s.Commit(t.Context(), "layer", "plain"))

			mapped, err := s.Prepare(t.Context(), "mapped", "layer", csnapshots.WithLabels(map[string]string{
				csnapshots.LabelSnapshotUIDMapping: "0:100000:65536", csnapshots.LabelSnapshotGIDMapping: "0:200000:65536",
			}))
			require.NoError(t, err)
			require.NoError(t, mount.All(mapped, target))
			assert.Equal(t, [2]uint32{100000, 200000}, owner("rooted"))
			touch := exec.Command("touch", filepath.Join(target, "theirs"))
			touch.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 100000, Gid: 200000}}
			out, err := touch.CombinedOutput()
			require.NoError(t, err, string(out))
			require.NoError(t, mount.UnmountAll(target, 0))

			mapped[0].Options = plain[0].Options // the same disk without the mapping
			require.NoError(t, mount.All(mapped, target))
			assert.Equal(t, [2]uint32{0, 0}, owner("rooted"))
			assert.Equal(t, [2]uint32{0, 0}, owner("theirs"))
			require.NoError(t, mount.UnmountAll(target, 0))
			require.NoError(t, s.Remove(t.Context(), "mapped"))
			require.NoError(t, s.Remove(t.Context(), "layer"))
		})
	}
}
