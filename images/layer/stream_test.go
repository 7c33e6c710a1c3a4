package layer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/test/waittest"
)

func compress(tb testing.TB, form string, data []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch form {
	case "tar":
		return data
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		z, err := zstd.NewWriter(&buf)
		require.NoError(tb, err)
		w = z
	}
	_, err := w.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return buf.Bytes()
}

func noise(n int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	p := make([]byte, n)
	_, _ = rng.Read(p)
	return p
}

func TestDecompress(t *testing.T) {
	for _, form := range []string{"tar", "gzip", "zstd"} {
		for _, size := range []int{0, 1, 5, 1 << 20, 9<<20 + 17} {
			t.Run(fmt.Sprintf("%s of %d", form, size), func(t *testing.T) {
				data := noise(size)
				s := layer.Decompress(t.Context(), bytes.NewReader(compress(t, form, data)), layer.Limits{})
				defer func() { _ = s.Close() }()
				assert.Empty(t, s.DiffID())
				got, err := io.ReadAll(s)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(data, got))
				assert.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256(data)), s.DiffID().String())
				assert.EqualValues(t, size, s.Size())
			})
		}
	}
}

func TestDecompressErrors(t *testing.T) {
	data := noise(3 << 20)
	flip := func(p []byte, at int) []byte {
		p = bytes.Clone(p)
		p[at] ^= 0xff
		return p
	}
	gz, zs := compress(t, "gzip", data), compress(t, "zstd", data)
	text := compress(t, "gzip", []byte(strings.Repeat("the layer ", 300_000)))
	tests := map[string]struct {
		data []byte
		want error
	}{
		"gzip cut":          {gz[:len(gz)/2], layer.ErrTruncated},
		"gzip without end":  {gz[:len(gz)-8], layer.ErrTruncated},
		"gzip header alone": {gz[:7], layer.ErrTruncated},
		"gzip corrupt":      {flip(text, len(text)/2), layer.ErrMalformed},
		"gzip checksum":     {flip(gz, len(gz)-6), layer.ErrMalformed},
		"zstd cut":          {zs[:len(zs)/2], layer.ErrTruncated},
		"xz":                {[]byte("\xfd7zXZ\x00 and more"), layer.ErrMalformed},
		"bzip2":             {[]byte("BZh91AY"), layer.ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := layer.Decompress(t.Context(), bytes.NewReader(test.data), layer.Limits{})
			defer func() { _ = s.Close() }()
			_, err := io.Copy(io.Discard, s)
			require.ErrorIs(t, err, test.want)
			assert.Empty(t, s.DiffID())
		})
	}
	broken := errors.New("disk on fire")
	s := layer.Decompress(t.Context(), iotest.ErrReader(broken), layer.Limits{})
	defer func() { _ = s.Close() }()
	_, err := io.Copy(io.Discard, s)
	require.ErrorIs(t, err, broken)
}

func TestDecompressStopsABomb(t *testing.T) {
	for _, form := range []string{"gzip", "zstd"} {
		bomb := compress(t, form, make([]byte, 64<<20))
		s := layer.Decompress(t.Context(), bytes.NewReader(bomb), layer.Limits{Ratio: 100, RatioFloor: 8 << 20})
		n, err := io.Copy(io.Discard, s)
		require.ErrorIs(t, err, layer.ErrHostile)
		assert.Less(t, n, int64(16<<20))
		require.NoError(t, s.Close())
	}
}

func TestClosingAStreamEarlyLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	data := compress(t, "gzip", noise(32<<20))
	for range 20 {
		s := layer.Decompress(t.Context(), bytes.NewReader(data), layer.Limits{})
		_, err := io.CopyN(io.Discard, s, 3<<20)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
	}
	waittest.Until(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestDecompressHearsCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := layer.Decompress(ctx, bytes.NewReader(noise(64<<20)), layer.Limits{})
	defer func() { _ = s.Close() }()
	cancel()
	_, err := io.Copy(io.Discard, s)
	require.ErrorIs(t, err, context.Canceled)
}
