package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots/disk"
)

func requireVM(t testing.TB) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

// poolOfFiles is a pool whose files are there and not attached.
func poolOfFiles(t *testing.T) (disk.Disks, metadata.Pool) {
	t.Helper()
	requireVM(t)
	dir, err := os.MkdirTemp(os.Getenv("VENEER_SCRATCH"), "disk-") //nolint:usetesting // loop devices stand on a disk
	require.NoError(t, err)
	p := metadata.Pool{Name: "p", Backing: metadata.BackingLoop, Data: filepath.Join(dir, "data"), Metadata: filepath.Join(dir, "metadata")}
	disks := disk.ForBacking(p.Backing)
	require.NoError(t, disks.Create(t.Context(), p, 64<<20, 4<<20))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, errors.Join(disks.Detach(ctx, p), disks.Delete(ctx, p), os.RemoveAll(dir)))
	})
	return disks, p
}

func attached(t *testing.T, path string) int {
	t.Helper()
	devices, err := loopback.Find(path)
	require.NoError(t, err)
	return len(devices)
}

func TestAttachFindsWhatIsAttached(t *testing.T) {
	disks, p := poolOfFiles(t)
	data, meta, err := disks.Attach(t.Context(), p)
	require.NoError(t, err)
	assert.EqualValues(t, 64<<20, data.Size.Bytes())
	assert.EqualValues(t, 4<<20, meta.Size.Bytes())
	data2, meta2, err := disks.Attach(t.Context(), p)
	require.NoError(t, err)
	assert.Equal(t, data, data2)
	assert.Equal(t, meta, meta2)
	require.NoError(t, disks.Detach(t.Context(), p))
	assert.Zero(t, attached(t, p.Data)+attached(t, p.Metadata))
}

// A data disk whose metadata cannot be attached is attached for nothing: it is detached
// again, unless it was attached before.
func TestAttachIsUndone(t *testing.T) {
	for name, spoil := range map[string]struct {
		metadata func(*testing.T, string)
		want     error
	}{
		"metadata missing": {func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, os.Rename(path, path+".away"))
			t.Cleanup(func() { require.NoError(t, os.Rename(path+".away", path)) })
		}, fs.ErrNotExist},
		"metadata attached twice": {func(t *testing.T, path string) {
			t.Helper()
			for range 2 {
				d, err := loopback.Attach(t.Context(), path, loopback.Options{})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, d.Detach(context.WithoutCancel(t.Context()))) })
			}
		}, class.InUse},
	} {
		for before, was := range []string{"", ", data attached before"} {
			t.Run(name+was, func(t *testing.T) {
				disks, p := poolOfFiles(t)
				if before > 0 {
					_, err := loopback.Attach(t.Context(), p.Data, loopback.Options{})
					require.NoError(t, err)
				}
				spoil.metadata(t, p.Metadata)
				_, _, err := disks.Attach(t.Context(), p)
				require.ErrorIs(t, err, spoil.want)
				assert.Equal(t, before, attached(t, p.Data), "loop devices of the data")
			})
		}
	}
}
