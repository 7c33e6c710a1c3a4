package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/images/content"
)

// Media types of docker's older formats.
const (
	dockerManifestType = "application/vnd.docker.distribution.manifest.v2+json"
	dockerListType     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerSchema1      = "application/vnd.docker.distribution.manifest.v1+"
)

// refTypeAnnotation marks entries of an index that are about another one.
const refTypeAnnotation = "vnd.docker.reference.type"

// image is one image of a source, as far as its JSON goes.
type image struct {
	name     string
	manifest ocispec.Descriptor
	config   ocispec.Descriptor
	platform string
	created  ocispec.Image
	layers   []Layer
}

// resolve follows a candidate to the manifest for the platform, and stores it and
// its configuration in the content store.
func (s *Store) resolve(ctx context.Context, p provider, pins *pinSet, c candidate, want ocispec.Platform, explicit bool) (*image, error) {
	const maxNesting = 4
	desc := c.desc
	for range maxNesting {
		raw, err := s.readBlob(ctx, p, pins, desc)
		if err != nil {
			return nil, err
		}
		var probe struct {
			MediaType string               `json:"mediaType"`
			Manifests []ocispec.Descriptor `json:"manifests"`
			Layers    []ocispec.Descriptor `json:"layers"`
			FSLayers  []any                `json:"fsLayers"`
		}
		if err := json.Unmarshal(raw, &probe); err != nil {
			return nil, fmt.Errorf("manifest %s is not valid JSON: %w", desc.Digest, ErrMalformed)
		}
		switch {
		case strings.HasPrefix(desc.MediaType, dockerSchema1) || probe.FSLayers != nil:
			return nil, fmt.Errorf("manifest %s has the obsolete schema 1, pull and push it with a newer tool: %w", desc.Digest, ErrMalformed)
		case probe.Manifests != nil && probe.Layers != nil:
			return nil, fmt.Errorf("manifest %s is both an index and an image: %w", desc.Digest, ErrMalformed)
		case probe.Manifests == nil:
			return s.readImage(ctx, p, pins, c.name, desc, raw, want, explicit)
		}
		if desc, err = pick(probe.Manifests, want); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("its indexes are nested too deep: %w", ErrMalformed)
}

// readImage reads a manifest and its configuration.
func (s *Store) readImage(ctx context.Context, p provider, pins *pinSet, name string, desc ocispec.Descriptor, raw []byte, want ocispec.Platform, explicit bool) (*image, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w: %w", desc.Digest, ErrMalformed, err)
	}
	if m.Config.Digest == "" {
		return nil, fmt.Errorf("manifest %s has no configuration: %w", desc.Digest, ErrMalformed)
	}
	if desc.MediaType == "" {
		desc.MediaType = m.MediaType
	}
	desc.Annotations, desc.Platform = nil, nil
	config, err := s.readBlob(ctx, p, pins, m.Config)
	if err != nil {
		return nil, err
	}
	img := &image{name: name, manifest: desc, config: m.Config}
	if err := json.Unmarshal(config, &img.created); err != nil {
		return nil, fmt.Errorf("configuration %s: %w: %w", m.Config.Digest, ErrMalformed, err)
	}
	have := img.created.Platform
	if explicit && have.Architecture != "" && !fits(have, want) {
		return nil, fmt.Errorf("the image is for %s, not for %s: %w", platformString(have), platformString(want), ErrNoPlatform)
	}
	img.platform = platformString(have)
	if img.layers, err = chainLayers(&m, img.created.RootFS.DiffIDs); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	return img, nil
}

// readBlob fetches a small blob into the content store and returns it.
func (s *Store) readBlob(ctx context.Context, p provider, pins *pinSet, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > indexLimit {
		return nil, fmt.Errorf("blob %s is too large for a manifest or configuration: %w", d.Digest, ErrHostile)
	}
	pins.add(d.Digest.String())
	if err := s.fetch(ctx, p, d, nil); err != nil {
		return nil, err
	}
	return s.content.Read(d.Digest)
}

// pick chooses the entry of an index for a platform. Several may fit a machine
// with variants; the first one is what the index's author prefers.
func pick(list []ocispec.Descriptor, want ocispec.Platform) (ocispec.Descriptor, error) {
	var have []string
	for _, d := range list {
		switch {
		case d.Annotations[refTypeAnnotation] != "":
			continue
		case d.Platform == nil:
			if len(list) == 1 {
				return d, nil
			}
			continue
		case fits(*d.Platform, want):
			return d, nil
		}
		have = append(have, platformString(*d.Platform))
	}
	return ocispec.Descriptor{}, fmt.Errorf("the image is for %s, not for %s: %w",
		strings.Join(have, ", "), platformString(want), ErrNoPlatform)
}

// fits says whether an image for platform have runs on want. A variant that
// either side leaves out is the one everybody has: v8 on arm64, v7 on arm.
func fits(have, want ocispec.Platform) bool {
	variant := func(p ocispec.Platform) string {
		switch {
		case p.Variant != "":
			return p.Variant
		case p.Architecture == "arm64":
			return "v8"
		case p.Architecture == "arm":
			return "v7"
		}
		return ""
	}
	return have.OS == want.OS && have.Architecture == want.Architecture && variant(have) == variant(want)
}

func platformString(p ocispec.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// parsePlatform reads "os/architecture[/variant]"; "" is this machine's.
func parsePlatform(s string) (ocispec.Platform, error) {
	if s == "" {
		return ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return ocispec.Platform{}, fmt.Errorf("%q is no platform like linux/arm64: %w", s, ErrInvalidReference)
	}
	p := ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// fetch brings a blob into the content store unless it is there. Interrupted
// transfers over a network are taken up again a few times.
func (s *Store) fetch(ctx context.Context, p provider, d ocispec.Descriptor, report func(int64)) error {
	unlock, err := s.blobLocks.Lock(ctx, d.Digest.String())
	if err != nil {
		return err
	}
	defer unlock()
	source := func(ctx context.Context, offset int64) (io.ReadCloser, error) { return p.open(ctx, d, offset) }
	var got int64
	counting := func(n int64) {
		got += n
		if report != nil {
			report(n)
		}
	}
	for failures := 0; ; {
		before := got
		if got > 0 {
			counting(-got) // each try reports from the start
		}
		err := s.content.Put(ctx, d.Digest, d.Size, source, counting)
		if err == nil {
			return nil
		}
		if !p.remote() {
			return errors.Join(err, s.dropPartial(d))
		}
		if ctx.Err() != nil {
			return err
		}
		if got <= before {
			failures++
		} else {
			failures = 1
		}
		if failures >= fetchTries || !worthRetrying(err) {
			return err
		}
		if err := pause(ctx, failures); err != nil {
			return err
		}
	}
}

// dropPartial forgets the beginning of a blob that its file will never complete.
func (s *Store) dropPartial(d ocispec.Descriptor) error {
	if _, err := s.content.Stat(d.Digest); err == nil || !errors.Is(err, content.ErrNotFound) {
		return nil
	}
	return s.content.Delete(d.Digest)
}
