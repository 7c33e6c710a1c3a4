package snapshots_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/snapshots"
)

// withoutTools hides all programs of the administrator's directories.
func withoutTools(t *testing.T, use func()) {
	t.Helper()
	t.Setenv("PATH", t.TempDir())
	require.NoError(t, unix.Mount("none", "/usr/sbin", "tmpfs", 0, ""))
	defer func() { require.NoError(t, unix.Unmount("/usr/sbin", 0)) }()
	use()
}

// A tool that is not installed says nothing about the metadata: it is no damage, and
// nothing is repaired because of it.
func TestMissingToolsAreNoDamage(t *testing.T) {
	m, _ := aStore(t)
	ctx := t.Context()
	meta, _ := m.PoolFiles()
	whole, err := os.ReadFile(meta)
	require.NoError(t, err)
	damaged := bytes.Clone(whole)
	clear(damaged[:4096])
	for name, c := range map[string]struct {
		content []byte
		damaged bool
	}{"whole": {whole, false}, "damaged": {damaged, true}} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(meta, c.content, 0o600))
			withoutTools(t, func() {
				rep, err := snapshots.RepairPool(ctx, m.Config())
				require.ErrorIs(t, err, class.NotSupported)
				require.ErrorContains(t, err, "install the package thin-provisioning-tools")
				assert.Equal(t, c.damaged, rep.Damage != nil, "%v", rep.Damage)
				assert.Empty(t, rep.Kept)
				_, _, err = snapshots.CheckAtRest(ctx, m.Config())
				require.Error(t, err)
				if !c.damaged {
					require.ErrorIs(t, err, class.NotSupported)
				}
			})
			now, err := os.ReadFile(meta)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(c.content, now), "the metadata was written to")
			files, err := filepath.Glob(meta + ".*")
			require.NoError(t, err)
			assert.Empty(t, files)
		})
	}
	require.NoError(t, os.WriteFile(meta, whole, 0o600))
	d, err := snapshots.Open(ctx, m.Config())
	require.NoError(t, err)
	require.NoError(t, d.DestroyPool(ctx))
}
