package scenario

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"

	"github.com/veneerdm/veneer/bench"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	gib  = 1 << 30
	page = 4 * kib
)

// A content is bytes that no compression makes smaller, always the same for a seed.
type content struct {
	seed string
	size int64
}

func (c content) reader() io.Reader {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.seed)) // never fails
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], h.Sum64())
	return io.LimitReader(rand.NewChaCha8(key), c.size)
}

// write makes a file of it.
func (c content) write(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = copyInto(f, c)
	return errors.Join(err, f.Close())
}

// copyInto writes a content to a file that is open.
func copyInto(w io.Writer, c content) (int64, error) {
	return io.CopyBuffer(onlyWriter{w}, c.reader(), make([]byte, min(mib, c.size+1)))
}

// onlyWriter hides a file's ReadFrom, so that the buffer is used.
type onlyWriter struct{ io.Writer }

// A patch is bytes that were written over a content, or behind its end.
type patch struct {
	at   int64
	data []byte
}

// check compares a file with a content as patched. A difference is bench.ErrContent.
func (c content) check(path string, patches ...patch) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size := c.size
	for _, p := range patches {
		size = max(size, p.at+int64(len(p.data)))
	}
	if st, err := f.Stat(); err != nil || st.Size() != size {
		return errors.Join(err, bench.Corrupt("%s has not the %d bytes that it should", path, size))
	}
	want := io.MultiReader(c.reader(), bytes.NewReader(make([]byte, size-c.size)))
	wanted, got := make([]byte, mib), make([]byte, mib)
	for at := int64(0); at < size; {
		n, err := io.ReadFull(want, wanted[:min(mib, size-at)])
		if err != nil {
			return err
		}
		for _, p := range patches {
			overlay(wanted[:n], at, p)
		}
		if _, err := io.ReadFull(f, got[:n]); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if !bytes.Equal(wanted[:n], got[:n]) {
			return bench.Corrupt("%s differs from what was written, in the MiB at %d", path, at)
		}
		at += int64(n)
	}
	return nil
}

// overlay lays a patch over a piece of a file that starts at some offset.
func overlay(piece []byte, start int64, p patch) {
	from, to := max(start, p.at), min(start+int64(len(piece)), p.at+int64(len(p.data)))
	if from < to {
		copy(piece[from-start:to-start], p.data[from-p.at:to-p.at])
	}
}

// fresh is a page that is in no content.
func fresh() []byte { return bytes.Repeat([]byte("written by the container. "), 158)[:page] }

// writeAt writes in place and makes sure of it, as a database does.
func writeAt(path string, data []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, at)
	return errors.Join(err, f.Sync(), f.Close())
}

// human prints a number of bytes as cases are named.
func human(n int64) string {
	switch {
	case n >= gib && n%gib == 0:
		return fmt.Sprintf("%d GiB", n/gib)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= kib && n%kib == 0:
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d B", n)
}

// starts compares a file with the first bytes of a content.
func (c content) starts(path string, size int64) error {
	return content{c.seed, size}.check(path)
}
