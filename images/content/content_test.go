package content_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images/content"
)

func open(t *testing.T) (*content.Store, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "content")
	s, err := content.Open(root)
	require.NoError(t, err)
	return s, filepath.Join(root, "blobs", "sha256")
}

// source gives data and remembers where it was asked to start.
type source struct {
	data    string
	cut     int  // bytes to give before an error; 0 for all
	noRange bool // refuse to start in the middle
	asked   []int64
}

var errCut = errors.New("connection lost")

func (s *source) fetch(_ context.Context, offset int64) (io.ReadCloser, error) {
	s.asked = append(s.asked, offset)
	if offset > 0 && s.noRange {
		return nil, content.ErrNoRange
	}
	rest := s.data[offset:]
	if s.cut > 0 {
		return io.NopCloser(io.MultiReader(strings.NewReader(rest[:s.cut]), iotest.ErrReader(errCut))), nil
	}
	return io.NopCloser(strings.NewReader(rest)), nil
}

func TestPutVerifiesAndKeeps(t *testing.T) {
	s, dir := open(t)
	ctx := t.Context()
	src := &source{data: strings.Repeat("layer", 100_000)}
	d := digest.FromString(src.data)
	var reported int64
	require.NoError(t, s.Put(ctx, d, int64(len(src.data)), src.fetch, func(n int64) { reported += n }))
	assert.EqualValues(t, len(src.data), reported)
	f, err := s.Open(d)
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	assert.Equal(t, src.data, string(got))
	require.NoError(t, s.Put(ctx, d, int64(len(src.data)), src.fetch, nil))
	assert.Equal(t, []int64{0}, src.asked, "not fetched twice")

	info, err := os.Stat(filepath.Dir(filepath.Dir(dir)))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestPutResumes(t *testing.T) {
	for _, noRange := range []bool{false, true} {
		s, _ := open(t)
		ctx := t.Context()
		src := &source{data: strings.Repeat("0123456789", 1000), cut: 4000, noRange: noRange}
		d := digest.FromString(src.data)
		size := int64(len(src.data))
		err := s.Put(ctx, d, size, src.fetch, nil)
		require.ErrorIs(t, err, errCut)
		var sourceErr *content.SourceError
		require.ErrorAs(t, err, &sourceErr)
		_, err = s.Stat(d)
		require.ErrorIs(t, err, content.ErrNotFound, "half a blob is not there")

		src.cut = 0
		var reported int64
		require.NoError(t, s.Put(ctx, d, size, src.fetch, func(n int64) { reported += n }))
		assert.Equal(t, size, reported)
		want := []int64{0, 4000}
		if noRange {
			want = append(want, 0)
		}
		assert.Equal(t, want, src.asked)
	}
}

func TestPutRefusesOtherBytes(t *testing.T) {
	d := digest.FromString("right")
	tests := map[string]struct {
		data string
		want error
	}{
		"corrupt":   {"wrong", content.ErrDigestMismatch},
		"too long":  {"right and more", content.ErrDigestMismatch},
		"too short": {"rig", content.ErrTruncated},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, dir := open(t)
			err := s.Put(t.Context(), d, 5, (&source{data: test.data}).fetch, nil)
			require.ErrorIs(t, err, test.want)
			_, err = s.Stat(d)
			require.ErrorIs(t, err, content.ErrNotFound)
			if errors.Is(test.want, content.ErrDigestMismatch) {
				left, err := os.ReadDir(dir)
				require.NoError(t, err)
				assert.Empty(t, left)
			}
			require.NoError(t, s.Put(t.Context(), d, 5, (&source{data: "right"}).fetch, nil))
		})
	}
}

func TestPutDoesNotTrustALeftover(t *testing.T) {
	s, dir := open(t)
	d := digest.FromString("right")
	for _, leftover := range []string{"rXg", "right and more", "wrong"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".partial-"+d.Encoded()), []byte(leftover), 0o600))
		err := s.Put(t.Context(), d, 5, (&source{data: "right"}).fetch, nil)
		if err != nil {
			require.ErrorIs(t, err, content.ErrDigestMismatch)
			require.NoError(t, s.Put(t.Context(), d, 5, (&source{data: "right"}).fetch, nil), "the next try starts over")
		}
		require.NoError(t, s.Delete(d))
	}
}

func TestAddWalkCleanDelete(t *testing.T) {
	s, dir := open(t)
	ctx := t.Context()
	var announced digest.Digest
	released := 0
	claim := func(d digest.Digest) (func(), error) {
		announced = d
		_, err := s.Stat(d)
		require.ErrorIs(t, err, content.ErrNotFound, "it is claimed before it is there")
		return func() { released++ }, nil
	}
	d, size, err := s.Add(func(w io.Writer) error {
		if _, err := s.Clean(func(digest.Digest) (func(), bool) { return func() {}, true }); err != nil {
			return err // it must not take the file away that is being written
		}
		_, err := io.WriteString(w, "new")
		return err
	}, claim)
	require.NoError(t, err)
	assert.Equal(t, 1, released)
	assert.Equal(t, d, announced)
	assert.Equal(t, digest.FromString("new"), d)
	assert.EqualValues(t, 3, size)
	_, _, err = s.Add(func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return errCut }, claim)
	require.ErrorIs(t, err, errCut)
	_, _, err = s.Add(func(io.Writer) error { return nil }, func(digest.Digest) (func(), error) { return nil, errCut })
	require.ErrorIs(t, err, errCut)
	e, err := s.AddBytes(ctx, []byte("{}"))
	require.NoError(t, err)
	data, err := s.Read(e)
	require.NoError(t, err)
	assert.Equal(t, "{}", string(data))

	require.NoError(t, os.WriteFile(filepath.Join(dir, ".new-1"), []byte("xx"), 0o600))
	keep := digest.FromString("keep")
	for _, d := range []digest.Digest{keep, digest.FromString("drop")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".partial-"+d.Encoded()), []byte("xx"), 0o600))
	}
	found := map[digest.Digest]int64{}
	require.NoError(t, s.Walk(ctx, func(d digest.Digest, size int64) error { found[d] = size; return nil }))
	assert.Equal(t, map[digest.Digest]int64{d: 3, e: 2}, found)
	freed, err := s.Clean(func(d digest.Digest) (func(), bool) { return func() {}, d != keep })
	require.NoError(t, err)
	assert.EqualValues(t, 4, freed)

	require.NoError(t, os.WriteFile(filepath.Join(dir, e.Encoded()), []byte("[]"), 0o600))
	_, err = s.Read(e)
	require.ErrorIs(t, err, content.ErrDigestMismatch)
	require.NoError(t, s.Delete(e))
	require.NoError(t, s.Delete(e))
	_, err = s.Open(e)
	require.ErrorIs(t, err, content.ErrNotFound)
	_, err = s.Open("sha256:../../etc/passwd")
	require.ErrorContains(t, err, "not a sha256 digest")
}

func TestPutHearsCancel(t *testing.T) {
	s, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	data := bytes.Repeat([]byte("x"), 2<<20)
	err := s.Put(ctx, digest.FromBytes(data), int64(len(data)), func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}, func(int64) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
}
