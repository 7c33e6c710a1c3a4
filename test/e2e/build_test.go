package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// birthday is the time of everything in the images made here.
var birthday = time.Unix(1_700_000_000, 123_456_789).UTC()

// entry is one tar entry. Body may be nil for anything but a regular file.
type entry struct {
	tar.Header
	body func() io.Reader
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))},
		func() io.Reader { return bytes.NewReader([]byte(content)) }}
}

// noise is a file that no compression makes smaller, always the same for a seed.
func noise(name string, size int64, seed byte) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size},
		func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size) }}
}

// echo is a file that takes its size from the pool but compresses to almost
// nothing: one page of noise over and over.
func echo(name string, size int64) entry {
	page := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(page) // it never errs
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size},
		func() io.Reader { return io.LimitReader(&repeat{page: page}, size) }}
}

type repeat struct {
	page []byte
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.page[r.at:])
	r.at = (r.at + n) % len(r.page)
	return n, nil
}

func folder(name string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}}
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func hardlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

// with gives an entry extended attributes.
func (e entry) with(xattrs map[string]string) entry {
	e.PAXRecords = map[string]string{}
	for name, value := range xattrs {
		e.PAXRecords["SCHILY.xattr."+name] = value
	}
	return e
}

func writeTar(w io.Writer, entries []entry) error {
	tw := tar.NewWriter(w)
	for _, e := range entries {
		h := e.Header
		h.Format = tar.FormatPAX
		if h.ModTime.IsZero() {
			h.ModTime = birthday
		}
		if err := tw.WriteHeader(&h); err != nil {
			return err
		}
		if e.body != nil {
			if _, err := io.Copy(tw, e.body()); err != nil {
				return err
			}
		}
	}
	return tw.Close()
}

// tarOf streams a tar of entries, whatever its size.
func tarOf(entries ...entry) tarball.Opener {
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeTar(w, entries)) }()
		return r, nil
	}
}

// layerOf is a gzipped layer.
func layerOf(t testing.TB, level int, entries ...entry) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(tarOf(entries...), tarball.WithCompressionLevel(level), tarball.WithMediaType(types.OCILayer))
	require.NoError(t, err)
	return l
}

// scratchImage is an image without layers, for this machine.
func scratchImage(t testing.TB) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Created: v1.Time{Time: birthday}, RootFS: v1.RootFS{Type: "layers"},
	})
	require.NoError(t, err)
	return mutate.ConfigMediaType(img, types.OCIConfigJSON)
}

// on puts layers on an image, each with a step of history.
func on(t testing.TB, below v1.Image, layers ...v1.Layer) v1.Image {
	t.Helper()
	for _, l := range layers {
		img, err := mutate.Append(below, mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: birthday}, CreatedBy: "ADD files"}})
		require.NoError(t, err)
		below = img
	}
	return below
}

// withCommand is an image with a command on top and no layer for it.
func withCommand(t testing.TB, below v1.Image, command string) v1.Image {
	t.Helper()
	config, err := below.ConfigFile()
	require.NoError(t, err)
	config = config.DeepCopy()
	config.Config.Cmd = []string{command}
	config.History = append(config.History, v1.History{CreatedBy: "CMD " + command, EmptyLayer: true})
	img, err := mutate.ConfigFile(below, config)
	require.NoError(t, err)
	return img
}

func small(t testing.TB, entries ...entry) v1.Layer {
	t.Helper()
	return layerOf(t, gzip.DefaultCompression, entries...)
}

// layoutOf writes an OCI layout with one image into a new folder.
func layoutOf(t testing.TB, name string, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	require.NoError(t, err)
	require.NoError(t, p.AppendImage(img, layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: name})))
	return dir
}
