package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/veneerdm/veneer/internal/bytesize"
)

// A storedLayer is a gzipped layer on disk.
type storedLayer struct {
	path    string
	entries int
	bytes   int64 // of content, before compression
}

// String is the layer's content in a few words.
func (l storedLayer) String() string {
	return fmt.Sprintf("%d entries, %s", l.entries, bytesize.Format(l.bytes))
}

// writeLayer writes what is different between before and the tree at root now.
// Times later than epoch are written as epoch.
func writeLayer(file, root string, before tree, epoch time.Time) (stored storedLayer, err error) {
	after, err := readTree(root)
	if err != nil {
		return stored, err
	}
	touched, gone := changes(before, after)
	out, err := os.Create(file)
	if err != nil {
		return stored, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	compressed := gzip.NewWriter(out)
	w := &layerWriter{tar: tar.NewWriter(compressed), root: root, epoch: epoch, links: map[uint64]string{}}
	for _, rel := range gone {
		if err := w.whiteout(rel); err != nil {
			return stored, err
		}
	}
	for _, rel := range touched {
		if err := w.add(rel, after[rel]); err != nil {
			return stored, err
		}
	}
	if err := errors.Join(w.tar.Close(), compressed.Close()); err != nil {
		return stored, err
	}
	return storedLayer{path: file, entries: len(gone) + len(touched), bytes: w.bytes}, nil
}

type layerWriter struct {
	tar   *tar.Writer
	root  string
	epoch time.Time
	links map[uint64]string // first name of each inode with several
	bytes int64
}

// whiteout says that a path of a lower layer is gone.
func (w *layerWriter) whiteout(rel string) error {
	return w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: path.Join(path.Dir(rel), ".wh."+path.Base(rel)), Mode: 0o600, ModTime: w.epoch,
	})
}

func (w *layerWriter) add(rel string, m mark) error {
	full := filepath.Join(w.root, rel)
	info, err := os.Lstat(full)
	if err != nil {
		return err
	}
	var target string
	if info.Mode()&os.ModeSymlink != 0 {
		if target, err = os.Readlink(full); err != nil {
			return err
		}
	}
	if info.Mode()&os.ModeSocket != 0 {
		return nil // a tar has no word for it
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = rel
	if info.IsDir() {
		header.Name += "/"
	}
	header.Format = tar.FormatPAX
	header.Uname, header.Gname = "", ""
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	if header.ModTime = header.ModTime.UTC(); header.ModTime.After(w.epoch) {
		header.ModTime = w.epoch
	}
	attributes, err := extendedAttributes(full)
	if err != nil {
		return err
	}
	for name, value := range attributes {
		if header.PAXRecords == nil {
			header.PAXRecords = map[string]string{}
		}
		header.PAXRecords["SCHILY.xattr."+name] = value
	}
	if !info.Mode().IsRegular() {
		return w.tar.WriteHeader(header)
	}
	if info.Sys().(*syscall.Stat_t).Nlink > 1 {
		if first, ok := w.links[m.ino]; ok {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return w.tar.WriteHeader(header)
		}
		w.links[m.ino] = rel
	}
	return w.content(full, header)
}

func (w *layerWriter) content(full string, header *tar.Header) error {
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	file, err := os.Open(full)
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := io.Copy(w.tar, file)
	w.bytes += n
	return err
}
