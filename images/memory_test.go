package images_test

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	. "github.com/veneerdm/veneer/images/internal/treetest"
)

// Import takes the same memory for a layer of 400 MB as for one of 4.
func TestImportMemoryIsBounded(t *testing.T) {
	dir := layout(t, t.TempDir(), build(t, "example.com/large:1", largeLayer(t, 400), gz(t, Tar(t, File("a", "a")))))
	b := newBench(t)
	runtime.GC()
	var start, now runtime.MemStats
	runtime.ReadMemStats(&start)
	var most uint64
	_, err := b.Import(ctx, dir, images.ImportOptions{Progress: func(images.Event) {
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapInuse+now.StackInuse)
	}})
	require.NoError(t, err)
	assert.Less(t, most-min(most, start.HeapInuse+start.StackInuse), uint64(60<<20))
}

// largeLayer makes a layer with a file of that many megabytes, without having it
// in memory.
func largeLayer(t *testing.T, megabytes int) blob {
	t.Helper()
	file := filepath.Join(t.TempDir(), "layer")
	f, err := os.Create(file)
	require.NoError(t, err)
	defer f.Close()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(8<<20))
	require.NoError(t, err)
	diffID := digest.SHA256.Digester()
	tw := tar.NewWriter(io.MultiWriter(z, diffID.Hash()))
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: "large", Size: int64(megabytes) << 20, Mode: 0o600}))
	part := noise(1 << 20)
	clear(part[:900<<10])
	for i := range megabytes {
		part[0] = byte(i)
		_, err := tw.Write(part)
		require.NoError(t, err)
	}
	require.NoError(t, tw.Close())
	require.NoError(t, z.Close())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return blob{describe(ocispec.MediaTypeImageLayerZstd, data), data, diffID.Digest()}
}
