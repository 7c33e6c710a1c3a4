package dmthin_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// blocksFile makes a file of random blocks.
func blocksFile(t *testing.T, blocks int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, blocks*dmthin.MetaBlockSize)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(content)
	path = filepath.Join(t.TempDir(), "meta")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path, content
}

// Reads longer than the buffer of 64 blocks are of the same content as any other.
func TestDirectReads(t *testing.T) {
	const size = dmthin.MetaBlockSize
	path, content := blocksFile(t, 200)
	f, err := dmthin.OpenDirect(path)
	require.NoError(t, err)
	for _, c := range []struct{ at, n int }{{0, 1}, {1, 63}, {3, 64}, {5, 65}, {0, 128}, {7, 190}, {0, 200}, {199, 1}, {0, 0}} {
		p := make([]byte, c.n*size)
		n, err := f.ReadAt(p, int64(c.at*size))
		require.NoError(t, err, "%d blocks at %d", c.n, c.at)
		require.Equal(t, len(p), n)
		require.Equal(t, content[c.at*size:(c.at+c.n)*size], p)
	}
	for _, c := range []struct{ at, n, want int }{{150, 100, 50}, {199, 2, 1}, {200, 1, 0}, {300, 1, 0}, {72, 129, 128}} {
		p := make([]byte, c.n*size)
		n, err := f.ReadAt(p, int64(c.at*size))
		require.ErrorIs(t, err, io.EOF, "%d blocks at %d", c.n, c.at)
		require.Equal(t, c.want*size, n)
		require.Equal(t, content[min(c.at, 200)*size:min(c.at+c.want, 200)*size], p[:n])
	}
	for _, c := range []struct{ at, n int }{{1, size}, {512, size}, {0, size - 1}, {0, 512}, {size + 1, size - 1}} {
		_, err := f.ReadAt(make([]byte, c.n), int64(c.at))
		require.ErrorContains(t, err, "not of whole metadata blocks", "%d bytes at %d", c.n, c.at)
	}
	require.NoError(t, f.Close())
}

func TestOpenDirectGoesPastThePageCache(t *testing.T) {
	path, _ := blocksFile(t, 1)
	probe, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	possible := err == nil
	if possible {
		require.NoError(t, probe.Close())
	} else {
		require.ErrorIs(t, err, unix.EINVAL)
	}
	f, err := dmthin.OpenDirect(path)
	require.NoError(t, err)
	assert.Equal(t, []bool{possible}, directFlags(t, path))
	require.NoError(t, f.Close())
	assert.Empty(t, directFlags(t, path))
}

// directFlags tells of each descriptor that this process has of a file whether it is
// O_DIRECT.
func directFlags(t *testing.T, path string) (direct []bool) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, fd := range open {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err != nil || to != path {
			continue
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + fd.Name())
		require.NoError(t, err)
		var flags int
		for line := range strings.Lines(string(info)) {
			if text, ok := strings.CutPrefix(line, "flags:"); ok {
				_, err := fmt.Sscanf(strings.TrimSpace(text), "%o", &flags)
				require.NoError(t, err)
			}
		}
		direct = append(direct, flags&unix.O_DIRECT != 0)
	}
	return direct
}

func TestOpenDirectOfNothing(t *testing.T) {
	_, err := dmthin.OpenDirect(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
