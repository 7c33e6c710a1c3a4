package images

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/class"
)

// The default registry goes by an old name in the library and in credential
// files, and by the shorter one everywhere else.
const (
	libraryHub = "index.docker.io"
	hub        = "docker.io"
)

// ParseName makes a short reference full: "nginx" becomes
// "docker.io/library/nginx:latest". Anything else than a reference is
// ErrInvalidReference.
func ParseName(s string) (string, error) {
	ref, err := parseReference(s)
	if err != nil {
		return "", err
	}
	return fullName(ref), nil
}

func parseReference(s string) (name.Reference, error) {
	ref, err := name.ParseReference(s)
	if err != nil {
		return nil, class.Wrap(fmt.Errorf("%q is not a reference like nginx:1.27, registry.example/team/app:2 or app@sha256:DIGEST", s), ErrInvalidReference)
	}
	return ref, nil
}

func fullName(ref name.Reference) string {
	full := ref.Name()
	if rest, ok := strings.CutPrefix(full, libraryHub+"/"); ok {
		return hub + "/" + rest
	}
	return full
}

// ShortName is the inverse of ParseName, for people: it leaves out what is the
// default, except the tag.
func ShortName(full string) string {
	short := strings.TrimPrefix(full, hub+"/library/")
	return strings.TrimPrefix(short, hub+"/")
}

// Lookup finds an image by its reference, full or short, by its ID or manifest
// digest, or by the first digits of one, four at least.
func (s *Store) Lookup(ref string) (Record, error) {
	full, parseErr := ParseName(ref)
	records, err := s.catalog.images()
	if err != nil {
		return Record{}, err
	}
	var found []Record
	hex := strings.TrimPrefix(ref, "sha256:")
	for _, r := range records {
		if r.Name == ref || parseErr == nil && r.Name == full {
			return r, nil
		}
		if isHex(hex) && (hasHex(r.ID(), hex) || hasHex(r.Manifest.Digest, hex)) {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 0 && parseErr != nil && !isHex(hex):
		return Record{}, parseErr
	case len(found) == 0:
		return Record{}, class.Wrap(fmt.Errorf("no image is called %q; see \"veneer image ls\"", ref), ErrNotFound)
	}
	for _, r := range found[1:] {
		if r.ID() != found[0].ID() {
			return Record{}, class.Wrap(fmt.Errorf("%q fits %s and %s; give more digits", ref, found[0].Name, r.Name), ErrAmbiguous)
		}
	}
	return found[0], nil
}

func isHex(s string) bool {
	return len(s) >= 4 && strings.Trim(s, "0123456789abcdef") == ""
}

func hasHex(d digest.Digest, hex string) bool { return strings.HasPrefix(d.Encoded(), hex) }
