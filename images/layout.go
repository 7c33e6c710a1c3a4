package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// containerdName is the annotation in which containerd and docker put an image's
// full name; the standard one often holds only the tag.
const containerdName = "io.containerd.image.name"

// indexLimit bounds the JSON files that are read whole.
const indexLimit = 8 << 20

// files is a read-only set of files: a directory or an archive.
type files interface {
	// open opens a file by its slash-separated path.
	open(path string) (io.ReadCloser, error)
	close() error
}

// layout is an OCI image layout.
type layout struct {
	files
	where string
}

func (l *layout) remote() bool { return false }

func (l *layout) list(context.Context) ([]candidate, error) {
	var index ocispec.Index
	if err := readJSON(l.files, ocispec.ImageIndexFile, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", l.where, err)
	}
	var list []candidate
	for _, d := range index.Manifests {
		if d.Annotations[refTypeAnnotation] != "" {
			continue // an attestation, about another entry
		}
		list = append(list, candidate{name: l.name(d), desc: d})
	}
	return list, nil
}

// name is what the layout calls the image: its full name if it is there; a tag
// alone goes with the name of the file or directory.
func (l *layout) name(d ocispec.Descriptor) string {
	if full := d.Annotations[containerdName]; full != "" {
		return full
	}
	tag := d.Annotations[ocispec.AnnotationRefName]
	if tag == "" || strings.ContainsAny(tag, "/:") {
		return tag
	}
	base := strings.ToLower(filepath.Base(l.where))
	for _, suffix := range []string{".gz", ".zst", ".tar", ".tgz", ".oci"} {
		base = strings.TrimSuffix(base, suffix)
	}
	return base + ":" + tag
}

func (l *layout) open(_ context.Context, d ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%q is no digest: %w", d.Digest, ErrMalformed)
	}
	r, err := l.files.open("blobs/" + d.Digest.Algorithm().String() + "/" + d.Digest.Encoded())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s lacks blob %s: %w", l.where, d.Digest, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return skip(r, offset)
}

// skip moves r forward.
func skip(r io.ReadCloser, offset int64) (io.ReadCloser, error) {
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(offset, io.SeekStart); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return r, nil
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (l *layout) close() error { return l.files.close() }

// readJSON reads a small JSON file.
func readJSON(f files, path string, v any) error {
	r, err := f.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s, so it is no image: %w", path, ErrMalformed)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, indexLimit))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s is not valid JSON: %w: %w", path, ErrMalformed, err)
	}
	return nil
}

// dirFiles are the files of a directory. os.Root keeps symbolic links in it.
type dirFiles struct{ root *os.Root }

func openLayoutDir(path string) (provider, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open image layout: %w", err)
	}
	return &layout{files: dirFiles{root}, where: path}, nil
}

func (d dirFiles) open(path string) (io.ReadCloser, error) { return d.root.Open(path) }

func (d dirFiles) close() error { return d.root.Close() }

// detect tells by its content what kind of source a path is.
func detect(path string, isDir bool) (string, error) {
	if isDir {
		if _, err := os.Stat(filepath.Join(path, ocispec.ImageIndexFile)); err == nil {
			return FromLayout, nil
		}
		return FromLayout, fmt.Errorf("directory %q is no OCI image layout, it has no %s: %w", path, ocispec.ImageIndexFile, ErrMalformed)
	}
	a, err := openArchive(path, "")
	if err != nil {
		return FromLayoutArchive, err
	}
	defer func() { _ = a.close() }()
	for name, kind := range map[string]string{ocispec.ImageIndexFile: FromLayoutArchive, dockerManifestFile: FromDockerArchive} {
		// docker save writes both; the layout has the exact manifests.
		if a.has(name) && (kind == FromLayoutArchive || !a.has(ocispec.ImageIndexFile)) {
			return kind, nil
		}
	}
	return FromLayoutArchive, fmt.Errorf("%q is no image archive, it has neither %s nor %s: %w",
		path, ocispec.ImageIndexFile, dockerManifestFile, ErrMalformed)
}
