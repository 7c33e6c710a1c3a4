package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testEpoch = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// populate makes files; a name that ends in "/" is a folder.
func populate(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if name[len(name)-1] == '/' {
			require.NoError(t, os.MkdirAll(full, 0o755))
			continue
		}
		require.NoError(t, os.WriteFile(full, []byte(content), 0o600))
	}
}

func entriesOf(t *testing.T, file string) map[string]*tar.Header {
	t.Helper()
	in, err := os.Open(file)
	require.NoError(t, err)
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	require.NoError(t, err)
	entries := map[string]*tar.Header{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		require.NoError(t, err)
		assert.NotContains(t, entries, header.Name, "each name once")
		entries[header.Name] = header
	}
}

func TestLayerHoldsTheDifference(t *testing.T) {
	root, layers := t.TempDir(), t.TempDir()
	populate(t, root, map[string]string{
		"etc/kept": "k", "etc/changed": "1", "etc/gone": "g", "usr/dir/below": "b", "usr/dir/deep/er": "e", "swap/x": "x",
		"var/cache/skipped": "s", "etc/resolv.conf": "host",
	})
	first, err := writeLayer(filepath.Join(layers, "1"), root, tree{}, testEpoch)
	require.NoError(t, err)
	entries := entriesOf(t, first.path)
	assert.Contains(t, entries, "etc/kept")
	assert.NotContains(t, entries, "var/cache/skipped")
	assert.NotContains(t, entries, "etc/resolv.conf")
	assert.Equal(t, testEpoch, entries["etc/kept"].ModTime.UTC(), "later times are cut")

	second, err := grow(t.Context(), filepath.Join(layers, "2"), root, testEpoch, func() error {
		populate(t, root, map[string]string{"etc/changed": "2", "new/": "", "etc/new": "n"})
		old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		require.NoError(t, os.Chtimes(filepath.Join(root, "etc/new"), old, old))
		require.NoError(t, os.Link(filepath.Join(root, "etc/new"), filepath.Join(root, "etc/other")))
		require.NoError(t, os.Symlink("new", filepath.Join(root, "etc/link")))
		require.NoError(t, os.Remove(filepath.Join(root, "etc/gone")))
		require.NoError(t, os.RemoveAll(filepath.Join(root, "usr/dir")))
		require.NoError(t, os.RemoveAll(filepath.Join(root, "swap")))
		return os.WriteFile(filepath.Join(root, "swap"), nil, 0o600)
	})
	require.NoError(t, err)
	entries = entriesOf(t, second.path)
	assert.Contains(t, entries, "etc/.wh.gone")
	assert.Contains(t, entries, "usr/.wh.dir")
	assert.NotContains(t, entries, "usr/dir/.wh.below", "the folder's whiteout is enough")
	assert.NotContains(t, entries, "swap/.wh.x")
	assert.EqualValues(t, tar.TypeReg, entries["swap"].Typeflag)
	assert.Contains(t, entries, "etc/changed")
	assert.NotContains(t, entries, "etc/kept")
	assert.Contains(t, entries, "new/")
	assert.EqualValues(t, 2020, entries["etc/new"].ModTime.UTC().Year())
	assert.EqualValues(t, tar.TypeLink, entries["etc/other"].Typeflag)
	assert.Equal(t, "etc/new", entries["etc/other"].Linkname)
	assert.Equal(t, "new", entries["etc/link"].Linkname)
	assert.Empty(t, entries["etc/new"].Uname)
}

func TestLayoutIsCompleteOrRemade(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	populate(t, root, map[string]string{"a": "a"})
	shared, err := writeLayer(filepath.Join(dir, "1"), root, tree{}, testEpoch)
	require.NoError(t, err)
	var images []image
	for _, name := range []string{"one", "two"} {
		own, err := grow(t.Context(), filepath.Join(dir, name), root, testEpoch, func() error {
			return os.WriteFile(filepath.Join(root, name), []byte(name), 0o600)
		})
		require.NoError(t, err)
		images = append(images, image{name: name + ":demo", config: imageConfig{cmd: []string{name}}, created: testEpoch, layers: []storedLayer{shared, shared, own}})
	}
	out := filepath.Join(dir, "layout")
	made := recipe{Version: 1, DataBytes: 5}
	assert.False(t, complete(out, made))
	require.NoError(t, writeLayout(out, images, made))
	assert.True(t, complete(out, made))
	assert.False(t, complete(out, recipe{Version: 2, DataBytes: 5}))

	blobs, err := filepath.Glob(filepath.Join(out, "blobs/sha256/*"))
	require.NoError(t, err)
	assert.Len(t, blobs, 3+2*2, "three layers, and a manifest and a configuration for each image")
	for _, blob := range blobs {
		content, err := os.ReadFile(blob)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(blob, 1))
		assert.False(t, complete(out, made), "a blob is cut short")
		require.NoError(t, os.WriteFile(blob, content, 0o600))
	}
	assert.True(t, complete(out, made))
}

func TestMeasurementsHaveTheirSize(t *testing.T) {
	for _, size := range []int64{0, 1, 100_001} {
		path := filepath.Join(t.TempDir(), "m")
		require.NoError(t, writeMeasurements(path, size))
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, size, info.Size())
	}
}
