package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"

	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/internal/durable"
)

// Fetch opens a blob's source at a byte offset. A source that cannot start there
// answers ErrNoRange and is asked again for offset 0.
type Fetch func(ctx context.Context, offset int64) (io.ReadCloser, error)

// ErrNoRange says that the source gives a blob from the beginning only.
var ErrNoRange = errors.New("the source cannot start in the middle")

// Put stores the blob with digest d and size bytes from fetch, going on where an
// earlier Put was interrupted. report, if not nil, hears of bytes as they arrive,
// those found from earlier first. A blob that is there already is not fetched.
//
// ErrDigestMismatch: the source gave other bytes; nothing of them is kept.
// ErrTruncated and *SourceError: it gave too few; they are kept for the next Put.
func (s *Store) Put(ctx context.Context, d digest.Digest, size int64, fetch Fetch, report func(int64)) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	if report == nil {
		report = func(int64) {}
	}
	if have, err := s.Stat(d); err == nil && have == size {
		report(size)
		return nil
	}
	f, err := os.OpenFile(s.partial(d), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("store blob %s: %w", d, err)
	}
	p := &partial{f: f, hash: sha256.New(), report: report}
	err = p.fill(ctx, size, fetch)
	if err == nil {
		err = p.check(d, size)
	}
	if errors.Is(err, ErrDigestMismatch) {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	if err == nil {
		err = s.publish(f, path)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("store blob %s: %w", d, err)
	}
	return nil
}

// publish flushes f and gives it its final name.
func (s *Store) publish(f *os.File, path string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return durable.Rename(f.Name(), path)
}

// partial is a blob on its way in.
type partial struct {
	f      *os.File
	hash   hash.Hash
	have   int64
	report func(int64)
}

func (p *partial) fill(ctx context.Context, size int64, fetch Fetch) error {
	var err error
	// What an earlier Put left is hashed again rather than trusted.
	p.have, err = copyTo(ctx, p.hash, p.f, math.MaxInt64, p.report)
	if err != nil {
		return err
	}
	if p.have > size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	if p.have == size && size > 0 {
		return nil
	}
	r, err := fetch(ctx, p.have)
	if errors.Is(err, ErrNoRange) && p.have > 0 {
		if err := p.restart(); err != nil {
			return err
		}
		r, err = fetch(ctx, 0)
	}
	if err != nil {
		return err
	}
	n, err := copyTo(ctx, io.MultiWriter(p.f, p.hash), r, size-p.have, p.report)
	p.have += n
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("got more than %d bytes: %w", size, ErrDigestMismatch)
	}
	if closeErr := r.Close(); err == nil && closeErr != nil {
		err = &SourceError{closeErr}
	}
	return err
}

// restart forgets what is there.
func (p *partial) restart() error {
	p.report(-p.have)
	p.have = 0
	p.hash.Reset()
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	_, err := p.f.Seek(0, io.SeekStart)
	return err
}

func (p *partial) check(d digest.Digest, size int64) error {
	if p.have < size {
		return fmt.Errorf("got %d of %d bytes: %w", p.have, size, ErrTruncated)
	}
	if got := digest.NewDigest(digest.SHA256, p.hash); got != d {
		return fmt.Errorf("got %s: %w", got, ErrDigestMismatch)
	}
	return nil
}

// Add stores what write writes and returns its digest and size in bytes. claim hears the
// digest just before the blob appears under it, and keeps Delete away from the blob until
// release is called.
func (s *Store) Add(write func(io.Writer) error, claim func(digest.Digest) (release func(), err error)) (_ digest.Digest, size int64, err error) {
	f, err := s.newFile()
	if err != nil {
		return "", 0, fmt.Errorf("store a new blob: %w", err)
	}
	defer s.forget(f.Name())
	defer func() {
		f.Close() // after an error, and after publish, which has flushed it
		if err != nil {
			err = errors.Join(fmt.Errorf("store a new blob: %w", err), os.Remove(f.Name()))
		}
	}()
	h := sha256.New()
	counter := &counter{}
	if err := write(io.MultiWriter(f, h, counter)); err != nil {
		return "", 0, err
	}
	d := digest.NewDigest(digest.SHA256, h)
	path, err := s.path(d)
	if err != nil {
		return "", 0, err
	}
	release, err := claim(d)
	if err != nil {
		return "", 0, err
	}
	defer release()
	return d, counter.n, s.publish(f, path)
}

// newFile makes a file that Clean leaves alone until it is forgotten.
func (s *Store) newFile() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.CreateTemp(s.dir, newPrefix)
	if err == nil {
		s.writing[f.Name()] = true
	}
	return f, err
}

func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writing, name)
}

func (s *Store) isWriting(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing[name]
}

// AddBytes stores data.
func (s *Store) AddBytes(ctx context.Context, data []byte) (digest.Digest, error) {
	d := digest.FromBytes(data)
	return d, s.Put(ctx, d, int64(len(data)), func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data[offset:])), nil
	}, nil)
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
