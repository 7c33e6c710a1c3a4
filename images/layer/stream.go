package layer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
)

// The memory of one Stream: ringBuffers buffers of ringBuffer bytes, what the
// decompressor keeps (32 KiB for gzip, at most twice zstdWindow for zstd) and the
// buffer it reads through.
const (
	ringBuffers = 4
	ringBuffer  = 1 << 19
	zstdWindow  = 16 << 20
	readBuffer  = 256 << 10
)

// Stream is the uncompressed form of a layer, made ahead of its reader by two
// goroutines: one decompresses, one hashes. It is for one reader.
type Stream struct {
	full, free chan []byte
	cur, rest  []byte // the buffer being read, and what is left of it
	done       bool
	cancel     context.CancelFunc
	wg         sync.WaitGroup
	in         *meter

	// Written by the goroutines before full is closed, read after it.
	err  error
	hash hash.Hash
	size int64
}

// Decompress starts to uncompress r, whose form - gzip, zstd or plain tar - is
// recognised by its first bytes. Reading the Stream fails with ErrHostile where
// the content grows beyond what limits allow, with ErrTruncated where r ends too
// early and with ErrMalformed where it is not what it says it is. The caller must
// Close the Stream; r is not read after that.
func Decompress(ctx context.Context, r io.Reader, limits Limits) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{
		full:   make(chan []byte, ringBuffers),
		free:   make(chan []byte, ringBuffers),
		cancel: cancel,
		hash:   sha256.New(),
		in:     &meter{r: r},
	}
	for range ringBuffers {
		s.free <- make([]byte, 0, ringBuffer)
	}
	toHash := make(chan []byte, ringBuffers)
	var produced error
	s.wg.Go(func() {
		defer close(toHash)
		produced = s.produce(ctx, limits.withDefaults(), toHash)
	})
	s.wg.Go(func() {
		defer close(s.full)
		for buf := range toHash {
			s.hash.Write(buf)
			s.size += int64(len(buf))
			s.full <- buf // never blocks: full has room for every buffer there is
		}
		s.err = produced
	})
	return s
}

// produce fills buffers until r ends. Buffers it sends are never empty.
func (s *Stream) produce(ctx context.Context, limits Limits, out chan<- []byte) error {
	plain, closePlain, err := open(bufio.NewReaderSize(s.in, readBuffer))
	if err != nil {
		return err
	}
	defer closePlain()
	var total int64
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := io.ReadFull(plain, buf[:cap(buf)])
		total += int64(n)
		if n > 0 {
			out <- buf[:n]
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && plain.ended():
			return nil
		case err != nil:
			return streamError(err)
		case total > limits.RatioFloor && total/limits.Ratio > s.in.n.Load():
			return fmt.Errorf("the layer unpacks to more than %d times its compressed size: %w", limits.Ratio, ErrHostile)
		}
	}
}

// source is a decompressor that remembers whether it came to its own end, which
// io.ReadFull does not tell from an end in the middle.
type source struct {
	r   io.Reader
	eof bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if errors.Is(err, io.EOF) {
		s.eof = true
	}
	return n, err
}

func (s *source) ended() bool { return s.eof }

// open recognises how r is compressed.
func open(r *bufio.Reader) (*source, func(), error) {
	magic, err := r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch Form(magic) {
	case FormGzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, streamError(err)
		}
		return &source{r: z}, func() { _ = z.Close() }, nil
	case FormZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, streamError(err)
		}
		return &source{r: z}, z.Close, nil
	case FormUnknown:
		return nil, nil, fmt.Errorf("the layer is compressed in a way other than gzip and zstd: %w", ErrMalformed)
	}
	return &source{r: r}, func() {}, nil
}

// The forms that Form tells apart.
const (
	FormTar     = "tar"
	FormGzip    = "gzip"
	FormZstd    = "zstd"
	FormUnknown = "unknown" // bzip2 or xz, which no image format allows
)

// Form says how a layer is compressed that begins with these bytes, at least six
// unless it is shorter.
func Form(start []byte) string {
	for form, magic := range map[string]string{
		FormGzip: "\x1f\x8b", FormZstd: "\x28\xb5\x2f\xfd",
	} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return form
		}
	}
	for _, magic := range []string{"BZh", "\xfd7zXZ\x00"} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return FormUnknown
		}
	}
	return FormTar
}

// streamError names the class of a decompressor's error.
func streamError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("uncompress layer: %w", ErrTruncated)
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, zstd.ErrCRCMismatch):
		return fmt.Errorf("uncompress layer: %w: %w", err, ErrMalformed)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("the layer needs a zstd window of more than %d bytes: %w", zstdWindow, ErrHostile)
	}
	return fmt.Errorf("uncompress layer: %w", err)
}

// meter counts the bytes read.
type meter struct {
	r io.Reader
	n atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n.Add(int64(n))
	return n, err
}

// Read gives the next bytes of the uncompressed layer.
func (s *Stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.cur != nil {
			s.free <- s.cur[:0]
			s.cur = nil
		}
		buf, ok := <-s.full
		if !ok {
			s.done = true
			if s.err != nil {
				return 0, s.err
			}
			return 0, io.EOF
		}
		s.cur, s.rest = buf, buf
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// DiffID is the digest of the uncompressed layer. It is known once Read has
// returned io.EOF, and "" until then.
func (s *Stream) DiffID() digest.Digest {
	if !s.done || s.err != nil {
		return ""
	}
	return digest.NewDigest(digest.SHA256, s.hash)
}

// Consumed is how many compressed bytes have been read so far. It may be called
// at any time.
func (s *Stream) Consumed() int64 { return s.in.n.Load() }

// Size is the length of the uncompressed layer in bytes, known when DiffID is.
func (s *Stream) Size() int64 {
	if !s.done {
		return 0
	}
	return s.size
}

// Close stops the goroutines and waits for them, which takes as long as one read
// of the underlying reader.
func (s *Stream) Close() error {
	s.cancel()
	for range s.full {
	}
	s.done = true
	s.wg.Wait()
	return nil
}
