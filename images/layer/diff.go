package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// Diff writes a layer to w, an uncompressed tar, that makes upper out of lower
// when it is applied. The same two trees give the same bytes. Deletions become
// whiteouts, one a name; hard links within the layer stay links; sockets are left
// out with a warning. A file that has to go in and has a name reserved for
// whiteouts is ErrReservedName.
//
// It returns the changes as Changes does.
func Diff(ctx context.Context, lower, upper Root, w io.Writer, opts DiffOptions) ([]Change, error) {
	changes, err := Changes(ctx, lower, upper, opts)
	if err != nil {
		return nil, err
	}
	return changes, Write(ctx, changes, upper, w)
}

// Write writes changes, which Changes has listed for this upper tree, as a layer.
func Write(ctx context.Context, changes []Change, upper Root, w io.Writer) (err error) {
	root, err := dirfd.OpenRoot(upper.FD())
	if err != nil {
		return fmt.Errorf("open the root of the upper tree: %w", err)
	}
	lw := &layerWriter{
		tw: tar.NewWriter(w), root: root, dir: root,
		first: map[uint64]string{}, buf: make([]byte, copyBuffer),
	}
	defer func() { err = errors.Join(err, lw.leave(), root.Close()) }()
	for i := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := lw.write(&changes[i]); err != nil {
			return fmt.Errorf("put %s into the layer: %w", printable("/"+changes[i].Path), err)
		}
	}
	return lw.tw.Close()
}

// layerWriter writes entries. It keeps the directory of the last one open.
type layerWriter struct {
	tw      *tar.Writer
	root    dirfd.Dir
	dir     dirfd.Dir
	dirPath string
	first   map[uint64]string // the name under which a hard-linked file went in
	buf     []byte
}

// enter opens the directory that holds path and gives the last component.
func (w *layerWriter) enter(path string) (string, error) {
	dir, base := splitName(path)
	if dir == w.dirPath {
		return base, nil
	}
	if err := w.leave(); err != nil {
		return "", err
	}
	for rest := dir; rest != ""; {
		component, tail := cutName(rest)
		next, err := w.dir.Open(component)
		if err != nil {
			return "", err
		}
		if err := w.leave(); err != nil {
			return "", errors.Join(err, next.Close())
		}
		w.dir, rest = next, tail
	}
	w.dirPath = dir
	return base, nil
}

func (w *layerWriter) leave() error {
	dir := w.dir
	w.dir, w.dirPath = w.root, ""
	if dir == w.root {
		return nil
	}
	return dir.Close()
}

func (w *layerWriter) write(c *Change) error {
	if c.Kind == Deleted {
		dir, base := splitName(c.Path)
		return w.tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: joinName(dir, whiteoutPrefix+base), ModTime: time.Unix(0, 0),
		})
	}
	if c.Path == "" {
		hdr, err := header(&c.stat, "./", w.root.Xattrs)
		if err != nil {
			return err
		}
		return w.tw.WriteHeader(hdr)
	}
	base, err := w.enter(c.Path)
	if err != nil {
		return err
	}
	hdr, err := header(&c.stat, c.Path, func() (map[string][]byte, error) { return w.dir.EntryXattrs(base) })
	if err != nil {
		return err
	}
	if c.stat.Links > 1 && !c.stat.IsDir() {
		if first, ok := w.first[c.stat.Ino]; ok {
			hdr.Typeflag, hdr.Linkname, hdr.Size, hdr.PAXRecords = tar.TypeLink, first, 0, nil
			return w.tw.WriteHeader(hdr)
		}
		w.first[c.stat.Ino] = c.Path
	}
	if c.stat.Type() == dirfd.TypeSymlink {
		if hdr.Linkname, err = w.dir.Readlink(base); err != nil {
			return err
		}
	}
	if err := w.tw.WriteHeader(hdr); err != nil || hdr.Typeflag != tar.TypeReg {
		return err
	}
	return w.content(base, hdr.Size)
}

func (w *layerWriter) content(base string, size int64) error {
	f, err := w.dir.OpenFile(base)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	n, err := io.CopyBuffer(struct{ io.Writer }{w.tw}, io.LimitReader(f, size), w.buf)
	if err == nil && n < size {
		return fmt.Errorf("it has become shorter while it was read: %w", io.ErrUnexpectedEOF)
	}
	return err
}

var typeFlags = map[uint32]byte{
	dirfd.TypeRegular: tar.TypeReg,
	dirfd.TypeDir:     tar.TypeDir,
	dirfd.TypeSymlink: tar.TypeSymlink,
	dirfd.TypeChar:    tar.TypeChar,
	dirfd.TypeBlock:   tar.TypeBlock,
	dirfd.TypeFifo:    tar.TypeFifo,
}

// header describes a file. Owner names are left out: a layer's owners are
// numbers, and the machine's user list is none of its business.
func header(st *dirfd.Stat, name string, xattrs func() (map[string][]byte, error)) (*tar.Header, error) {
	hdr := &tar.Header{
		Format:   tar.FormatPAX, // the one that keeps nanoseconds
		Typeflag: typeFlags[st.Type()],
		Name:     name,
		Mode:     int64(st.Perm()),
		Uid:      int(st.UID),
		Gid:      int(st.GID),
		ModTime:  st.Mtime.Time(),
	}
	switch st.Type() {
	case dirfd.TypeRegular:
		hdr.Size = st.Size
	case dirfd.TypeDir:
		if name != "./" {
			hdr.Name += "/"
		}
	case dirfd.TypeChar, dirfd.TypeBlock:
		hdr.Devmajor, hdr.Devminor = int64(st.Major), int64(st.Minor)
	}
	attrs, err := xattrs()
	if err != nil {
		return nil, err
	}
	for attr, value := range attrs {
		if !carried(attr) {
			continue
		}
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = map[string]string{}
		}
		hdr.PAXRecords[xattrRecord+attr] = string(value)
	}
	return hdr, nil
}
