// Package treetest describes directory trees, so that tests can compare them
// whole, and builds layers entry by entry.
package treetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// Dir is an open directory, to pass where a tree's root is wanted.
type Dir struct{ f *os.File }

// Open opens path for the test's lifetime.
func Open(tb testing.TB, path string) Dir {
	tb.Helper()
	const oPath = 0x200000 // O_PATH, as the descriptor of a detached mount is
	f, err := os.OpenFile(path, oPath|syscall.O_DIRECTORY, 0)
	require.NoError(tb, err)
	tb.Cleanup(func() { f.Close() })
	return Dir{f}
}

// FD is the directory's descriptor.
func (d Dir) FD() int { return int(d.f.Fd()) }

// Describe says everything about the tree below path that a layer can hold, one
// line a name: type, mode, owner, times, content, attributes and which names are
// hard links of one file. Two trees are the same if and only if the lines are.
func Describe(tb testing.TB, path string) []string {
	tb.Helper()
	root, err := os.Open(path)
	require.NoError(tb, err)
	defer root.Close() // at once: it may keep a mount alive
	fd, err := dirfd.OpenRoot(int(root.Fd()))
	require.NoError(tb, err)
	defer func() { _ = fd.Close() }()
	d := description{tb: tb, first: map[uint64]string{}}
	st, err := fd.Stat()
	require.NoError(tb, err)
	xattrs, err := fd.Xattrs()
	require.NoError(tb, err)
	d.line(".", &st, "", xattrs)
	d.walk(fd, "")
	return d.lines
}

type description struct {
	tb    testing.TB
	lines []string
	first map[uint64]string
}

func (d *description) walk(dir dirfd.Dir, prefix string) {
	d.tb.Helper()
	names, err := dir.Names()
	require.NoError(d.tb, err)
	slices.Sort(names)
	for _, name := range names {
		st, err := dir.StatEntry(name)
		require.NoError(d.tb, err)
		xattrs, err := dir.EntryXattrs(name)
		require.NoError(d.tb, err)
		content := ""
		switch st.Type() {
		case dirfd.TypeRegular:
			content = d.sum(dir, name)
		case dirfd.TypeSymlink:
			content, err = dir.Readlink(name)
			require.NoError(d.tb, err)
		case dirfd.TypeChar, dirfd.TypeBlock:
			content = fmt.Sprintf("%d:%d", st.Major, st.Minor)
		}
		if st.Links > 1 && !st.IsDir() {
			if first, ok := d.first[st.Ino]; ok {
				content += " = " + first
			} else {
				d.first[st.Ino] = prefix + name
			}
		}
		d.line(prefix+name, &st, content, xattrs)
		if st.IsDir() {
			sub, err := dir.Open(name)
			require.NoError(d.tb, err)
			d.walk(sub, prefix+name+"/")
			require.NoError(d.tb, sub.Close())
		}
	}
}

func (d *description) line(path string, st *dirfd.Stat, content string, xattrs map[string][]byte) {
	links := st.Links
	if st.IsDir() {
		links = 0 // how a filesystem counts subdirectories is its own affair
	}
	attrs := make([]string, 0, len(xattrs))
	for name, value := range xattrs {
		attrs = append(attrs, fmt.Sprintf("%s=%x", name, value))
	}
	slices.Sort(attrs)
	d.lines = append(d.lines, fmt.Sprintf("%s %06o %d:%d links=%d mtime=%d.%09d %s [%s]", path, st.Mode,
		st.UID, st.GID, links, st.Mtime.Sec, st.Mtime.Nsec, content, strings.Join(attrs, " ")))
}

func (d *description) sum(dir dirfd.Dir, name string) string {
	f, err := dir.OpenFile(name)
	require.NoError(d.tb, err)
	defer func() { _ = f.Close() }()
	h := sha256.New()
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err != nil {
			return fmt.Sprintf("%x", h.Sum(nil)[:8])
		}
	}
}

// Epoch is the time that entries have unless a test says otherwise.
var Epoch = time.Unix(1_700_000_000, 123_456_789)

// Entry is one tar entry with its content.
type Entry struct {
	tar.Header
	Body string
}

// File is a regular file's entry.
func File(name, body string) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}, body}
}

// Folder is a directory's entry.
func Folder(name string) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

// Symlink is a symbolic link's entry.
func Symlink(name, target string) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

// Link is a hard link's entry.
func Link(name, target string) Entry {
	return Entry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}, ""}
}

// Tar makes a tar of entries.
func Tar(tb testing.TB, entries ...Entry) []byte {
	tb.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range entries {
		hdr := e.Header
		if hdr.ModTime.IsZero() {
			hdr.ModTime = Epoch
		}
		if hdr.Format == tar.FormatUnknown {
			hdr.Format = tar.FormatPAX
		}
		require.NoError(tb, tw.WriteHeader(&hdr))
		if hdr.Size > 0 {
			_, err := tw.Write([]byte(e.Body))
			require.NoError(tb, err)
		}
	}
	require.NoError(tb, tw.Close())
	return buf.Bytes()
}
