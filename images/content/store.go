package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/images/internal/fault"
)

// The classes of errors, for errors.Is. They are the same values as those of the
// same names in package images.
var (
	// ErrNotFound: the store has no such blob.
	ErrNotFound = fault.ErrNotFound
	// ErrDigestMismatch: a blob's bytes are not those its digest or size promises.
	ErrDigestMismatch = fault.ErrDigestMismatch
	// ErrTruncated: a blob's source ended before the size promised.
	ErrTruncated = fault.ErrTruncated
)

const (
	partialPrefix = ".partial-"
	newPrefix     = ".new-"
	hidden        = "."
)

// Store is a directory of blobs.
type Store struct {
	dir string // blobs/sha256

	mu      sync.Mutex
	writing map[string]bool // files that an Add is writing
}

// Open opens the store in root, and makes it when there is none.
func Open(root string) (*Store, error) {
	dir := filepath.Join(root, "blobs", "sha256")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the content store: %w", err)
	}
	if err := os.Chmod(root, 0o700); err != nil {
		return nil, fmt.Errorf("close the content store to others: %w", err)
	}
	return &Store{dir: dir, writing: map[string]bool{}}, nil
}

// path is where the blob lies or will lie.
func (s *Store) path(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("%q is not a sha256 digest: %w", d, fault.ErrMalformed)
	}
	return filepath.Join(s.dir, d.Encoded()), nil
}

// Stat gives a blob's size in bytes, or ErrNotFound.
func (s *Store) Stat(d digest.Digest) (int64, error) {
	path, err := s.path(d)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, blobError(d, err)
	}
	return info.Size(), nil
}

// Open opens a blob, or says ErrNotFound. The caller closes it.
func (s *Store) Open(d digest.Digest) (*os.File, error) {
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, blobError(d, err)
	}
	return f, nil
}

// Read reads a small blob, such as a manifest, and verifies it once more.
func (s *Store) Read(d digest.Digest) ([]byte, error) {
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, blobError(d, err)
	}
	if digest.FromBytes(data) != d {
		return nil, fmt.Errorf("blob %s has been damaged on disk, remove it and import the image again: %w", d, ErrDigestMismatch)
	}
	return data, nil
}

func blobError(d digest.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	return fmt.Errorf("blob %s: %w", d, err)
}

// Delete removes a blob and what there is of its beginning. One that is not there
// is no error.
func (s *Store) Delete(d digest.Digest) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	for _, p := range []string{path, s.partial(d)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return blobError(d, err)
		}
	}
	return nil
}

func (s *Store) partial(d digest.Digest) string {
	return filepath.Join(s.dir, partialPrefix+d.Encoded())
}

// Walk calls fn for every complete blob, in the order of their digests.
func (s *Store) Walk(ctx context.Context, fn func(d digest.Digest, size int64) error) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list the content store: %w", err)
	}
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if strings.HasPrefix(e.Name(), hidden) || d.Validate() != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return blobError(d, err)
		}
		if err := fn(d, info.Size()); err != nil {
			return err
		}
	}
	return nil
}

// Clean removes unfinished blobs and returns the bytes freed: those whose digest is not
// known yet and that no Add is writing, and those beginnings of blobs that claim claims. It
// keeps Put away from the blob until release is called.
func (s *Store) Clean(claim func(digest.Digest) (release func(), ok bool)) (freed int64, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("list the content store: %w", err)
	}
	for _, e := range entries {
		hex, partial := strings.CutPrefix(e.Name(), partialPrefix)
		if !partial && !strings.HasPrefix(e.Name(), newPrefix) {
			continue
		}
		release := func() {}
		if partial {
			ok := false
			if release, ok = claim(digest.NewDigestFromEncoded(digest.SHA256, hex)); !ok {
				continue
			}
		} else if s.isWriting(filepath.Join(s.dir, e.Name())) {
			continue
		}
		size, err := s.removeUnfinished(e.Name())
		release()
		if freed += size; err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func (s *Store) removeUnfinished(name string) (size int64, err error) {
	path := filepath.Join(s.dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // it has become a blob
	}
	if err == nil {
		size, err = info.Size(), os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("remove an unfinished blob: %w", err)
	}
	return size, nil
}

// copyBuffer is how much of a blob is read and hashed at a time.
const copyBuffer = 256 << 10

// copyTo copies until r ends, ctx does or more than limit bytes came.
func copyTo(ctx context.Context, w io.Writer, r io.Reader, limit int64, report func(int64)) (int64, error) {
	buf := make([]byte, copyBuffer)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if total+int64(n) > limit {
				return total, errTooLong
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
			report(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, &SourceError{err}
		}
	}
}

var errTooLong = errors.New("longer than promised")

// SourceError is an error of the reader that a blob comes from, as opposed to one
// of the disk it goes to. What was read so far has been kept: a new Put goes on
// from there.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap gives the reader's error.
func (e *SourceError) Unwrap() error { return e.Err }
