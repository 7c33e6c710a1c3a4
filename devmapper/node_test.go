package devmapper_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/devmapper/dmtest"
)

// newNodes gives a client that makes nodes in a folder of the test's.
func newNodes(t *testing.T) (*dmtest.Kernel, *devmapper.Client, string) {
	t.Helper()
	dev := t.TempDir()
	dir := filepath.Join(dev, "mapper")
	require.NoError(t, os.Mkdir(dir, 0o755))
	k := dmtest.New()
	k.PublishDevices(dev)
	return k, devmapper.NewWithNodes(k, dir), dir
}

func zeros(t *testing.T, c *devmapper.Client, n string) devmapper.Info {
	t.Helper()
	info, err := c.Activate(name(t, n), devmapper.UUID{}, devmapper.Single(8, devmapper.Zero{}), devmapper.ReadOnly)
	require.NoError(t, err)
	return info
}

func nodes(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := map[string]string{}
	for _, e := range entries {
		found[e.Name()], _ = os.Readlink(filepath.Join(dir, e.Name())) // "" for what is no link
	}
	return found
}

func TestNodesAreLinksToTheDevice(t *testing.T) {
	_, c, dir := newNodes(t)
	zeros(t, c, "a")
	info := zeros(t, c, "b")
	assert.Equal(t, map[string]string{"a": "../dm-0", "b": "../dm-1"}, nodes(t, dir))
	require.NoError(t, os.Remove(filepath.Join(dir, "b")))
	require.NoError(t, os.Symlink("../dm-7", filepath.Join(dir, "b")))
	require.NoError(t, c.MakeNode(name(t, "b"), info.Dev), "a wrong one is replaced")
	require.NoError(t, c.Rename(name(t, "a"), name(t, "c")))
	assert.Equal(t, map[string]string{"b": "../dm-1", "c": "../dm-0"}, nodes(t, dir))
	require.NoError(t, c.Remove(devmapper.ByName(name(t, "b"))))
	require.NoError(t, c.Remove(devmapper.ByDev(devmapper.DevNo{Major: 253, Minor: 0})))
	assert.Empty(t, nodes(t, dir))
}

func TestStaleNodes(t *testing.T) {
	k, c, dir := newNodes(t)
	zeros(t, c, "ours-1")
	require.NoError(t, k.CreateDevice("ours-2", ""))
	for _, link := range []string{"ours-2", "ours-3", "ours-4", "other", "control"} {
		require.NoError(t, os.Symlink("../dm-9", filepath.Join(dir, link)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ours-file"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "ours-folder"), 0o700))
	all, err := c.StaleNodes(func(string) bool { return true })
	require.NoError(t, err)
	assert.Equal(t, []devmapper.Name{name(t, "other"), name(t, "ours-3"), name(t, "ours-4")}, all)
	some, err := c.StaleNodes(func(n string) bool { return n == "ours-4" || n == "ours-2" })
	require.NoError(t, err)
	assert.Equal(t, []devmapper.Name{name(t, "ours-4")}, some)
	none, err := c.StaleNodes(func(string) bool { return false })
	require.NoError(t, err)
	assert.Empty(t, none)

	require.NoError(t, c.RemoveStaleNode(some[0]))
	require.NoError(t, c.RemoveStaleNode(some[0]), "it is gone")
	require.ErrorIs(t, c.RemoveStaleNode(name(t, "ours-1")), devmapper.ErrExist)
	require.ErrorIs(t, c.RemoveStaleNode(name(t, "ours-2")), devmapper.ErrExist, "a device without a table is one")
	require.ErrorContains(t, c.RemoveStaleNode(name(t, "ours-file")), "neither a link nor a block device")
	left := nodes(t, dir)
	assert.NotContains(t, left, "ours-4")
	for _, kept := range []string{"ours-1", "ours-2", "ours-3", "other", "control", "ours-file", "ours-folder"} {
		assert.Contains(t, left, kept)
	}

	none, err = devmapper.New(k).StaleNodes(func(string) bool { return true })
	require.NoError(t, err)
	assert.Empty(t, none, "a client without nodes has none that is stale")
	none, err = devmapper.NewWithNodes(k, filepath.Join(dir, "missing")).StaleNodes(func(string) bool { return true })
	require.NoError(t, err)
	assert.Empty(t, none)
}

// between calls f once, when the first operation of a kind has been answered.
type between struct {
	*dmtest.Kernel
	command uint8
	once    sync.Once
	f       func()
}

func (b *between) Control(command uint8, buf []byte) error {
	err := b.Kernel.Control(command, buf)
	if command == b.command {
		b.once.Do(b.f)
	}
	return err
}

const devStatus = 7 // DM_DEV_STATUS

// Somebody makes a device of that name while its stale node is being removed.
func TestNodeOfANewDeviceIsKept(t *testing.T) {
	k, c, dir := newNodes(t)
	require.NoError(t, os.Symlink("../dm-9", filepath.Join(dir, "a")))
	b := &between{Kernel: k, command: devStatus, f: func() { zeros(t, c, "a") }}
	err := devmapper.NewWithNodes(b, dir).RemoveStaleNode(name(t, "a"))
	require.ErrorIs(t, err, devmapper.ErrExist)
	assert.Equal(t, map[string]string{"a": "../dm-0"}, nodes(t, dir))
}

// A deferred removal ends in the kernel, which knows no nodes: whoever asks for the device
// next removes it, unless another device has the name.
func TestNodeLeftByADeferredRemovalIsSwept(t *testing.T) {
	k, c, dir := newNodes(t)
	ref := devmapper.ByName(zeros(t, c, "a").Name)
	deferred := func() {
		disk, err := k.Open("a")
		require.NoError(t, err)
		removed, err := c.RemoveDeferred(ref)
		require.NoError(t, err)
		require.False(t, removed)
		require.NoError(t, disk.Close())
		require.Empty(t, k.Devices())
		require.Contains(t, nodes(t, dir), "a")
	}
	deferred()
	require.ErrorIs(t, c.Remove(ref), devmapper.ErrNotExist)
	assert.Empty(t, nodes(t, dir))

	zeros(t, c, "a")
	deferred()
	const devRemove = 4 // DM_DEV_REMOVE
	b := &between{Kernel: k, command: devRemove, f: func() { zeros(t, c, "a") }}
	err := devmapper.NewWithNodes(b, dir).Remove(ref)
	require.ErrorIs(t, err, devmapper.ErrNotExist)
	assert.Equal(t, map[string]string{"a": "../dm-0"}, nodes(t, dir))
}

func TestListsByUUID(t *testing.T) {
	for _, minor := range []uint32{47, 44, 43, 36} {
		k := dmtest.New()
		k.SetInterface(minor)
		c := devmapper.New(k)
		for n, uuid := range map[string]string{"a": "X-1", "b": "X-2", "c": "Y-X-3", "xx": ""} {
			require.NoError(t, k.CreateDevice(n, uuid))
		}
		entries, err := c.ListUUID("X-")
		require.NoError(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name+" "+e.UUID)
		}
		assert.Equal(t, []string{"a X-1", "b X-2"}, got, "interface 4.%d", minor)
		entries, err = c.List("x")
		require.NoError(t, err)
		require.Len(t, entries, 1, "interface 4.%d", minor)
		assert.Equal(t, "xx", entries[0].Name)
	}
	// A device that goes away while each is asked is left out.
	k := dmtest.New()
	k.SetInterface(43)
	require.NoError(t, k.CreateDevice("a", "X-1"))
	require.NoError(t, k.CreateDevice("b", "X-2"))
	b := &between{Kernel: k, command: devStatus, f: func() {
		require.NoError(t, devmapper.New(k).Remove(devmapper.ByName(name(t, "b"))))
	}}
	entries, err := devmapper.New(b).ListUUID("X-")
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}
