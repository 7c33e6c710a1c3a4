package loopback

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

func blocksOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestCreateImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	require.NoError(t, CreateImage(path, 64*mib))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 64*mib, info.Size())
	assert.Equal(t, fs.FileMode(0o600), info.Mode())
	assert.Less(t, blocksOf(t, path), int64(mib), "it is sparse")
}

func TestCreateImageNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	require.NoError(t, os.WriteFile(precious, []byte("content"), 0o600))
	dangling := filepath.Join(dir, "dangling")
	require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), dangling))
	for _, path := range []string{precious, dangling, dir} {
		err := CreateImage(path, mib)
		assert.ErrorIs(t, err, fs.ErrExist, path)
		assert.ErrorContains(t, err, path)
	}
	content, err := os.ReadFile(precious)
	require.NoError(t, err)
	assert.Equal(t, "content", string(content))
	assert.NoFileExists(t, filepath.Join(dir, "elsewhere"))
}

func TestCreateImageLeavesNothingAfterAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	for _, size := range []int64{-4096, 0, 1000, 4097} {
		assert.ErrorIs(t, CreateImage(path, size), ErrInvalid)
	}
	assert.Error(t, CreateImage(path, 1<<62), "no filesystem holds such a file")
	assert.NoFileExists(t, path)
	assert.ErrorIs(t, CreateImage(filepath.Join(path, "below"), mib), fs.ErrNotExist)
}

func TestGrowImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	require.NoError(t, CreateImage(path, mib))
	require.NoError(t, GrowImage(path, 4*mib))
	require.NoError(t, GrowImage(path, 4*mib), "the same size is no change")
	err := GrowImage(path, 2*mib)
	assert.ErrorIs(t, err, ErrShrink)
	info, statErr := os.Stat(path)
	require.NoError(t, statErr)
	assert.EqualValues(t, 4*mib, info.Size())
	assert.ErrorIs(t, GrowImage(path+"x", mib), fs.ErrNotExist)
	assert.NoFileExists(t, path+"x")
	assert.Error(t, GrowImage(t.TempDir(), mib))
}

func TestPreallocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	require.NoError(t, CreateImage(path, 2*mib))
	require.NoError(t, Preallocate(path))
	assert.GreaterOrEqual(t, blocksOf(t, path), int64(2*mib))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 2*mib, info.Size())
}

func TestErrorSaysWhatAndWhich(t *testing.T) {
	err := error(&Error{Op: "attach", Path: "/a", Err: ErrBusy})
	assert.EqualError(t, err, "attach /a: loop device is in use")
	assert.ErrorIs(t, err, ErrBusy)
	assert.NoError(t, failure("attach", "/a", nil))
}

func TestRetry(t *testing.T) {
	lost := &os.PathError{Op: "ioctl", Path: "loop", Err: unix.EBUSY}
	calls := 0
	require.NoError(t, retry(t.Context(), 5, time.Microsecond, func() error {
		if calls++; calls < 4 {
			return lost
		}
		return nil
	}))
	assert.Equal(t, 4, calls)

	calls = 0
	err := retry(t.Context(), 5, time.Microsecond, func() error { calls++; return lost })
	assert.ErrorIs(t, err, ErrBusy)
	assert.ErrorIs(t, err, unix.EBUSY)
	assert.Equal(t, 5, calls)

	calls = 0
	other := errors.New("other")
	assert.ErrorIs(t, retry(t.Context(), 5, time.Microsecond, func() error { calls++; return other }), other)
	assert.Equal(t, 1, calls)

	ctx, cancel := context.WithCancel(t.Context())
	err = retry(ctx, 1000, time.Minute, func() error { cancel(); return lost })
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, err, unix.EBUSY)
}

func TestAttachRefusesWhatNoKernelTakes(t *testing.T) {
	_, err := Attach(t.Context(), "x", Options{BlockSize: 8192})
	assert.ErrorIs(t, err, ErrInvalid)
	_, err = Attach(t.Context(), filepath.Join(t.TempDir(), "absent"), Options{})
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Attach(t.Context(), t.TempDir(), Options{ReadOnly: true})
	assert.ErrorIs(t, err, ErrInvalid)
}
