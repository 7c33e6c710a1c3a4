package images

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/veneerdm/veneer/images/layer"
)

// archive gives random access to the files of a tar.
type archive struct {
	f       *os.File
	entries map[string]section
	links   map[string]string
}

type section struct{ offset, size int64 }

// archiveEntries bounds what an archive may list: an image has a few dozen files.
const archiveEntries = 100_000

// openArchive indexes a tar. One that is compressed as a whole is unpacked to a
// temporary file in spoolDir first: it has no random access.
func openArchive(name, spoolDir string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open image archive: %w", err)
	}
	a := &archive{f: f}
	if err := a.uncompress(spoolDir); err != nil {
		return nil, errors.Join(fmt.Errorf("image archive %q: %w", name, err), a.close())
	}
	if err := a.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("image archive %q: %w", name, err), a.close())
	}
	return a, nil
}

// uncompress replaces a compressed file by its content.
func (a *archive) uncompress(dir string) error {
	r := bufio.NewReader(a.f)
	start, err := r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var plain io.Reader
	switch layer.Form(start) {
	case layer.FormTar:
		_, err := a.f.Seek(0, io.SeekStart)
		return err
	case layer.FormGzip:
		plain, err = gzip.NewReader(r)
	case layer.FormZstd:
		plain, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	default:
		return fmt.Errorf("it is compressed in a way other than gzip and zstd: %w", ErrMalformed)
	}
	if err != nil {
		return err
	}
	spool, err := newSpool(dir)
	if err != nil {
		return err
	}
	_, err = io.Copy(spool, plain)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	if err != nil {
		return errors.Join(err, spool.Close())
	}
	old := a.f
	a.f = spool
	return old.Close()
}

// index notes where each file lies. The tar reader seeks over contents.
func (a *archive) index() error {
	a.entries, a.links = map[string]section{}, map[string]string{}
	end, err := a.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := a.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	tr := tar.NewReader(a.f)
	for {
		hdr, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF) && len(a.entries) > 0:
			return ErrTruncated
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("it is not a tar: %w", ErrMalformed)
		case errors.Is(err, tar.ErrHeader):
			return fmt.Errorf("it is not a tar: %w", ErrMalformed)
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return err
		}
		name := path.Clean("/" + hdr.Name)[1:]
		if len(a.entries)+len(a.links) >= archiveEntries {
			return fmt.Errorf("it lists more than %d files: %w", archiveEntries, ErrHostile)
		}
		switch hdr.Typeflag {
		case tar.TypeReg:
			offset, err := a.f.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			if offset+hdr.Size > end {
				return fmt.Errorf("it ends within %s: %w", name, ErrTruncated)
			}
			a.entries[name] = section{offset, hdr.Size}
		case tar.TypeSymlink: // docker save shares equal layers so
			a.links[name] = path.Join("/", path.Dir(name), hdr.Linkname)[1:]
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + hdr.Linkname)[1:]
		}
	}
}

func (a *archive) has(name string) bool {
	_, err := a.find(name)
	return err == nil
}

func (a *archive) find(name string) (section, error) {
	const maxLinks = 8
	for range maxLinks {
		if s, ok := a.entries[name]; ok {
			return s, nil
		}
		next, ok := a.links[name]
		if !ok {
			break
		}
		name = next
	}
	return section{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

// open opens a file of the archive; it can seek.
func (a *archive) open(name string) (io.ReadCloser, error) {
	s, err := a.find(path.Clean("/" + name)[1:])
	if err != nil {
		return nil, err
	}
	return struct {
		*io.SectionReader
		io.Closer
	}{io.NewSectionReader(a.f, s.offset, s.size), io.NopCloser(nil)}, nil
}

func (a *archive) close() error { return a.f.Close() }

func (s *Store) openLayoutArchive(_ context.Context, name string) (provider, error) {
	a, err := openArchive(name, s.spoolDir())
	if err != nil {
		return nil, err
	}
	return &layout{files: a, where: name}, nil
}

// spoolDir is where compressed archives are unpacked.
func (s *Store) spoolDir() string { return filepath.Join(s.root, "spool") }
