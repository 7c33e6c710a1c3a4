package images

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// SaveDir writes images as an OCI image layout into a directory, which is made if
// it is missing and must be empty else. Manifests, configurations and layers are
// those that came in, byte for byte.
func (s *Store) SaveDir(ctx context.Context, dir string, refs ...string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("directory %q is not empty, choose another: %w", dir, os.ErrExist)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return s.saveLayout(ctx, refs, func(name string, size int64, r io.Reader) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	})
}

// SaveArchive writes images to w as a tar: FromLayoutArchive, which every tool
// of today reads, or FromDockerArchive for docker load before version 25.
func (s *Store) SaveArchive(ctx context.Context, w io.Writer, format string, refs ...string) error {
	tw := tar.NewWriter(w)
	file := func(name string, size int64, r io.Reader) error {
		err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size})
		if err != nil {
			return err
		}
		_, err = io.Copy(tw, r)
		return err
	}
	var err error
	switch format {
	case FromLayoutArchive:
		err = s.saveLayout(ctx, refs, file)
	case FromDockerArchive:
		err = s.saveDocker(ctx, refs, file)
	default:
		return fmt.Errorf("%q is no archive format, use %s or %s: %w", format, FromLayoutArchive, FromDockerArchive, ErrInvalidReference)
	}
	if err != nil {
		return err
	}
	return tw.Close()
}

// putFile writes one file of what is being saved.
type putFile func(name string, size int64, r io.Reader) error

func (s *Store) lookupAll(refs []string) ([]Record, error) {
	var list []Record
	for _, ref := range refs {
		r, err := s.Lookup(ref)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func (s *Store) saveLayout(ctx context.Context, refs []string, put putFile) error {
	records, err := s.lookupAll(refs)
	if err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	written := map[digest.Digest]bool{}
	for _, r := range records {
		for _, d := range r.blobs() {
			if written[d] {
				continue
			}
			written[d] = true
			if err := s.putBlob(ctx, "blobs/sha256/"+d.Encoded(), d, put); err != nil {
				return fmt.Errorf("save %s: %w", r.Name, err)
			}
		}
		desc := r.Manifest
		desc.Annotations = map[string]string{containerdName: r.Name, ocispec.AnnotationRefName: tagOf(r.Name)}
		if p, err := parsePlatform(r.Platform); err == nil {
			desc.Platform = &p
		}
		index.Manifests = append(index.Manifests, desc)
	}
	if err := putJSON(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}, put); err != nil {
		return err
	}
	return putJSON(ocispec.ImageIndexFile, index, put)
}

// tagOf is the tag of a full name, or the whole name when it has none.
func tagOf(full string) string {
	i := strings.LastIndexByte(full, ':')
	if i < 0 || strings.Contains(full, "@") || strings.Contains(full[i:], "/") {
		return full
	}
	return full[i+1:]
}

func (s *Store) putBlob(ctx context.Context, name string, d digest.Digest, put putFile) error {
	f, err := s.content.Open(d)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return put(name, info.Size(), contextReader{ctx, f})
}

func putJSON(name string, v any, put putFile) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return put(name, int64(len(raw)), strings.NewReader(string(raw)))
}

// saveDocker writes what docker load reads. Its layers may be compressed.
func (s *Store) saveDocker(ctx context.Context, refs []string, put putFile) error {
	records, err := s.lookupAll(refs)
	if err != nil {
		return err
	}
	written := map[digest.Digest]bool{}
	entries := map[digest.Digest]*dockerImage{}
	var list []*dockerImage
	for _, r := range records {
		if e := entries[r.ID()]; e != nil {
			e.RepoTags = append(e.RepoTags, dockerTags(r.Name)...)
			continue
		}
		e := &dockerImage{Config: r.ID().Encoded() + ".json", RepoTags: dockerTags(r.Name), Layers: []string{}}
		entries[r.ID()] = e
		list = append(list, e)
		if err := s.putBlob(ctx, e.Config, r.ID(), put); err != nil {
			return fmt.Errorf("save %s: %w", r.Name, err)
		}
		for _, l := range r.Layers {
			name := l.Digest.Encoded() + ".tar"
			e.Layers = append(e.Layers, name)
			if written[l.Digest] {
				continue
			}
			written[l.Digest] = true
			if err := s.putBlob(ctx, name, l.Digest, put); err != nil {
				return fmt.Errorf("save %s: %w", r.Name, err)
			}
		}
	}
	return putJSON(dockerManifestFile, list, put)
}

// dockerTags: an archive has no names with digests.
func dockerTags(full string) []string {
	if strings.Contains(full, "@") {
		return nil
	}
	return []string{ShortName(full)}
}
