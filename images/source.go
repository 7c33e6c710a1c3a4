package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/class"
)

// The ways an image comes in.
const (
	// FromLayout is an OCI image layout in a directory, "oci:DIR[:TAG]".
	FromLayout = "oci"
	// FromLayoutArchive is an OCI image layout in a tar, "oci-archive:FILE[:TAG]".
	FromLayoutArchive = "oci-archive"
	// FromDockerArchive is what docker save writes, "docker-archive:FILE[:REF]".
	FromDockerArchive = "docker-archive"
	// FromRegistry is a registry reference, "docker://REF".
	FromRegistry = "docker"
	// FromContainerd is the content store of the containerd on this machine,
	// "containerd:REF". CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE say which.
	FromContainerd = "containerd"
)

// Source is where an image comes from.
type Source struct {
	Kind string // one of the From constants
	Path string // of the directory or file, "" for FromRegistry and FromContainerd
	// Ref is the reference in the registry or of containerd's, or what to choose of
	// several images in an archive: the whole name or the tag alone; "" when there
	// is but one.
	Ref string
}

// ParseSource understands a user's argument: one of the forms above; a path that
// exists, whose kind its content tells; else a registry reference.
func ParseSource(arg string) (Source, error) {
	scheme, rest, _ := strings.Cut(arg, ":")
	switch scheme {
	case FromLayout, FromLayoutArchive, FromDockerArchive:
		path, ref := splitPath(rest)
		if path == "" {
			return Source{}, fmt.Errorf("%q names no path, write %s:PATH: %w", arg, scheme, ErrInvalidReference)
		}
		if _, err := os.Stat(path); err != nil {
			return Source{}, nothingAt(path, err)
		}
		return Source{Kind: scheme, Path: path, Ref: ref}, nil
	case FromContainerd:
		_, err := parseReference(rest)
		return Source{Kind: FromContainerd, Ref: rest}, err
	case FromRegistry:
		if ref, ok := strings.CutPrefix(rest, "//"); ok {
			_, err := parseReference(ref)
			return Source{Kind: FromRegistry, Ref: ref}, err
		}
	}
	isPath := strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "../")
	path, ref := splitPath(arg)
	if info, err := os.Stat(path); err == nil {
		kind, err := detect(path, info.IsDir())
		// A directory that happens to be called as an image stands in nobody's way.
		if err == nil || isPath || !info.IsDir() {
			return Source{Kind: kind, Path: path, Ref: ref}, err
		}
	}
	if isPath {
		return Source{}, nothingAt(arg, fs.ErrNotExist)
	}
	_, err := parseReference(arg)
	return Source{Kind: FromRegistry, Ref: arg}, err
}

// nothingAt says that a path leads to no source.
func nothingAt(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return class.Wrap(fmt.Errorf("there is nothing at %q to import", path), ErrNotFound)
	}
	return fmt.Errorf("nothing at %q can be imported: %w", path, err)
}

// splitPath splits PATH[:REF] at the first colon that leaves a path that exists.
// A path that exists as a whole, colons and all, has no reference.
func splitPath(s string) (path, ref string) {
	if _, err := os.Stat(s); err == nil {
		return s, ""
	}
	for i, c := range s {
		if c != ':' {
			continue
		}
		if _, err := os.Stat(s[:i]); err == nil && i > 0 {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// String is the form that ParseSource understands.
func (s Source) String() string {
	switch {
	case s.Kind == FromRegistry:
		return "docker://" + s.Ref
	case s.Kind == FromContainerd:
		return "containerd:" + s.Ref
	case s.Ref != "":
		return s.Kind + ":" + s.Path + ":" + s.Ref
	}
	return s.Kind + ":" + s.Path
}

// provider gives the blobs of one source.
type provider interface {
	// list gives the images the source holds, by manifest or index.
	list(ctx context.Context) ([]candidate, error)
	// open opens a blob at an offset, or says content.ErrNoRange.
	open(ctx context.Context, d ocispec.Descriptor, offset int64) (io.ReadCloser, error)
	// remote says that blobs come over a network: interruptions are to be expected
	// and what has come is worth keeping.
	remote() bool
	close() error
}

// candidate is one image of a source.
type candidate struct {
	name string // as the source calls it, "" for none
	desc ocispec.Descriptor
}

func (s *Store) openSource(ctx context.Context, src Source) (provider, error) {
	switch src.Kind {
	case FromLayout:
		return openLayoutDir(src.Path)
	case FromLayoutArchive:
		return s.openLayoutArchive(ctx, src.Path)
	case FromDockerArchive:
		return s.openDockerArchive(ctx, src.Path)
	case FromRegistry:
		return s.openRegistry(ctx, src.Ref)
	case FromContainerd:
		return openContainerd(src.Ref)
	}
	return nil, fmt.Errorf("%q is no kind of image source: %w", src.Kind, ErrInvalidReference)
}

// choose picks the image that ref names among those of a source.
func choose(src Source, list []candidate) (candidate, error) {
	if len(list) == 0 {
		return candidate{}, fmt.Errorf("%s holds no image: %w", src, ErrNotFound)
	}
	if src.Path == "" {
		return list[0], nil
	}
	var found []candidate
	for _, c := range list {
		if src.Ref == "" || matches(c.name, src.Ref) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 0:
		return candidate{}, fmt.Errorf("%s holds no image %q, only %s: %w", src.Path, src.Ref, listNames(list), ErrNotFound)
	case len(found) > 1 && !sameImage(found):
		return candidate{}, fmt.Errorf("%s holds several images, choose one with %s:%s:NAME: %s: %w",
			src.Path, src.Kind, src.Path, listNames(found), ErrAmbiguous)
	}
	return found[0], nil
}

// matches compares what a source calls an image with what the user calls it: the
// same text, the same reference, or the tag alone.
func matches(have, want string) bool {
	if have == want {
		return true
	}
	if have == "" {
		return false
	}
	a, errA := ParseName(have)
	b, errB := ParseName(want)
	if errA == nil && errB == nil && a == b {
		return true
	}
	return strings.HasSuffix(have, ":"+want)
}

func sameImage(list []candidate) bool {
	for _, c := range list {
		if c.desc.Digest != list[0].desc.Digest {
			return false
		}
	}
	return true
}

func listNames(list []candidate) string {
	names := make([]string, len(list))
	for i, c := range list {
		if names[i] = c.name; c.name == "" {
			names[i] = c.desc.Digest.String()
		}
	}
	return strings.Join(names, ", ")
}
