package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/thinpool"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// onTheKernel ends a test of a real kernel where there is none.
func onTheKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

// store is a pool on loop files with images in it, as the program has it.
type store struct {
	*snapshots.Driver
	images *images.Store
	data   string // the pool's data file
}

// newStore makes a store that is destroyed, with everything in it, when the test
// ends. Whatever is left then is an error.
func newStore(t *testing.T, filesystem string, change func(*snapshots.PoolOptions)) *store {
	t.Helper()
	real := snapstest.NewReal(t, filesystem)
	o := real.Options()
	if change != nil {
		change(&o)
	}
	d, err := snapshots.CreatePool(t.Context(), real.Config(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, d.Drain(context.Background()))
		if assert.NoError(t, d.DestroyPool(context.Background())) {
			assert.Empty(t, real.LeftOver(t))
		}
	})
	s, err := images.Open(images.Config{Root: t.TempDir(), Snapshots: d})
	require.NoError(t, err)
	_, data := real.PoolFiles()
	if o.Backing == metadata.BackingDevices {
		data = o.Data
	}
	return &store{d, s, data}
}

// bring imports an image by way of an OCI layout.
func (s *store) bring(t *testing.T, name string, img v1.Image) images.Record {
	t.Helper()
	r, err := s.images.Import(t.Context(), "oci:"+layoutOf(t, name, img), images.ImportOptions{})
	require.NoError(t, err)
	return r
}

// forget removes an image and waits for its space.
func (s *store) forget(t *testing.T, name string) images.Removed {
	t.Helper()
	gone, err := s.images.Remove(t.Context(), name, images.RemoveOptions{})
	require.NoError(t, err)
	require.NoError(t, s.Drain(t.Context()))
	return gone
}

// used is the bytes in the pool's mapped blocks.
func (s *store) used(t *testing.T) int64 {
	t.Helper()
	info, err := s.Pool(t.Context())
	require.NoError(t, err)
	w, ok := info.Status.(thinpool.Working)
	require.True(t, ok, "%v", info.Status)
	return int64(uint64(w.UsedData) * info.BlockSize)
}

// stored is what the pool's data file takes of the filesystem it lies on.
func (s *store) stored(t *testing.T) int64 {
	t.Helper()
	f, err := os.Open(s.data)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Sync())
	st, err := f.Stat()
	require.NoError(t, err)
	return st.Sys().(*syscall.Stat_t).Blocks * 512
}

// container makes a container of an image and mounts it where only the test sees it.
func (s *store) container(t *testing.T, key, parent string) *filesystem.Tree {
	t.Helper()
	m, err := s.Prepare(t.Context(), key, parent)
	require.NoError(t, err)
	return open(t, m)
}

func open(t *testing.T, m snapshots.Mount) *filesystem.Tree {
	t.Helper()
	tree, err := m.Open()
	require.NoError(t, err)
	return tree
}

// look describes the tree of a committed snapshot.
func (s *store) look(t *testing.T, key string) []string {
	t.Helper()
	m, err := s.View(t.Context(), "look", key)
	require.NoError(t, err)
	tree := open(t, m)
	lines := describe(t, tree.Path())
	require.NoError(t, tree.Close())
	require.NoError(t, s.Remove(t.Context(), "look"))
	return lines
}

// eachFilesystem runs a test on ext4 and on xfs.
func eachFilesystem(t *testing.T, test func(t *testing.T, filesystem string)) {
	t.Helper()
	onTheKernel(t)
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) { test(t, filesystem) })
	}
}

// at is a path below a mounted tree.
func at(tree *filesystem.Tree, name string) string { return filepath.Join(tree.Path(), name) }
