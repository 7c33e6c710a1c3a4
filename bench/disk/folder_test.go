package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/bench/disk"
)

// What is not a run's is not found, however much it looks like one.
func TestFoldersAreOursAlone(t *testing.T) {
	store := t.TempDir()
	for name, files := range map[string]map[string]string{
		"cowbench-0123abcd":  {"cowbench-run.json": `{"what": "something else"}`, "data": "precious"},
		"cowbench-1123abcd":  {"data": "precious"},
		"cowbench-backup":    {"cowbench-run.json": `{"what": "files of a cowbench run; ` + "`cowbench clean`" + ` takes them away"}`},
		"notes":              {"data": "precious"},
		"cowbench-0123abcde": {},
	} {
		require.NoError(t, os.Mkdir(filepath.Join(store, name), 0o755))
		for file, text := range files {
			require.NoError(t, os.WriteFile(filepath.Join(store, name, file), []byte(text), 0o644))
		}
	}
	found, err := disk.Folders(store)
	require.NoError(t, err)
	assert.Empty(t, found)
}

// A run may be killed before its folder has a marker, or before the marker says
// anything.
func TestFoldersOfEarlyDeath(t *testing.T) {
	store := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(store, "cowbench-00000001"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(store, "cowbench-00000002"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(store, "cowbench-00000002", "cowbench-run.json"), nil, 0o644))
	found, err := disk.Folders(store)
	require.NoError(t, err)
	require.Len(t, found, 2)
	for _, f := range found {
		require.NoError(t, f.Sweep())
	}
	left, err := os.ReadDir(store)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestRunningFoldersAreLeftAlone(t *testing.T) {
	store := t.TempDir()
	running, err := disk.NewFolder(store)
	require.NoError(t, err)
	found, err := disk.Folders(store)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.ErrorIs(t, found[0].Sweep(), disk.ErrRunning)
	assert.DirExists(t, running.Path)
	require.NoError(t, running.Close())
	assert.NoDirExists(t, running.Path)
}

func TestNoFolderNoRuns(t *testing.T) {
	found, err := disk.Folders(filepath.Join(t.TempDir(), "absent"))
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestDeviceMustBeOne(t *testing.T) {
	folder, err := disk.NewFolder(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, folder.Close()) }()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = disk.Device(folder, file)
	require.ErrorContains(t, err, "is not a block device")
	_, err = disk.Device(folder, file+"-absent")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRoom(t *testing.T) {
	folder, err := disk.NewFolder(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, folder.Close()) }()
	source := disk.Files(folder)
	require.NoError(t, source.Room(1, 1<<20))
	err = source.Room(5, 1<<60)
	require.ErrorIs(t, err, disk.ErrTooSmall)
	assert.ErrorContains(t, err, "name another folder with --store")
}
