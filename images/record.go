package images

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Record is what the catalog keeps of an image. It is plain data, stored as JSON.
type Record struct {
	// Name is the full reference: registry, repository and tag or digest.
	Name string `json:"name"`
	// Manifest describes the manifest blob, for one platform.
	Manifest ocispec.Descriptor `json:"manifest"`
	// Config describes the configuration blob. Its digest is the image's ID.
	Config ocispec.Descriptor `json:"config"`
	// Platform is "os/architecture[/variant]".
	Platform string `json:"platform"`
	// Layers are listed bottom first.
	Layers []Layer `json:"layers"`
	// Created is when the image was built, Imported when it came here.
	Created  time.Time `json:"created"`
	Imported time.Time `json:"imported"`
}

// Layer is one layer of an image.
type Layer struct {
	// Digest, Size and MediaType describe the blob.
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	MediaType string        `json:"mediaType"`
	// DiffID is the digest of the uncompressed tar.
	DiffID digest.Digest `json:"diffID"`
	// ChainID names the layer together with all below it. It is the key of the
	// committed snapshot that holds the tree.
	ChainID digest.Digest `json:"chainID"`
}

// ID is the image's own digest: that of its configuration.
func (r *Record) ID() digest.Digest { return r.Config.Digest }

// Top is the key of the snapshot that containers of the image start from, "" for
// an image without layers.
func (r *Record) Top() string {
	if len(r.Layers) == 0 {
		return ""
	}
	return r.Layers[len(r.Layers)-1].ChainID.String()
}

// blobs lists the digests of everything the image keeps in the content store.
func (r *Record) blobs() []digest.Digest {
	list := []digest.Digest{r.Manifest.Digest, r.Config.Digest}
	for _, l := range r.Layers {
		list = append(list, l.Digest)
	}
	return list
}

// chainLayers combines the layers of a manifest with the DiffIDs of its
// configuration.
func chainLayers(manifest *ocispec.Manifest, diffIDs []digest.Digest) ([]Layer, error) {
	if len(manifest.Layers) != len(diffIDs) {
		return nil, fmt.Errorf("the manifest has %d layers and the configuration %d: %w",
			len(manifest.Layers), len(diffIDs), ErrMalformed)
	}
	layers := make([]Layer, len(diffIDs))
	for i, id := range diffIDs {
		d := manifest.Layers[i]
		if id.Validate() != nil || d.Digest.Validate() != nil || d.Size < 0 {
			return nil, fmt.Errorf("layer %d has an invalid digest or size: %w", i+1, ErrMalformed)
		}
		layers[i] = Layer{
			Digest: d.Digest, Size: d.Size, MediaType: d.MediaType, DiffID: id,
			ChainID: identity.ChainID(diffIDs[:i+1]),
		}
	}
	return layers, nil
}

// layerKey says whether a snapshot's key is that of an image layer.
func layerKey(key string) bool { return digest.Digest(key).Validate() == nil }

// importPrefix begins the keys of snapshots that layers are applied to. The rest
// is the ChainID, so that what an interrupted import left is found by the next.
const importPrefix = "import/"

// workPrefix begins the keys of the snapshots that commit and diff look at.
const workPrefix = "work/"

// The two snapshots that are compared.
const (
	upperSide = "upper"
	lowerSide = "lower"
)

func importKey(chain digest.Digest) string { return importPrefix + chain.String() }

// leftover says whether a key is of a snapshot that is there within one operation only.
// Keys of containerd's begin with the name of a namespace and a number, and that name may
// be one of the two prefixes.
func leftover(key string) bool {
	if chain, ok := strings.CutPrefix(key, importPrefix); ok {
		return layerKey(chain)
	}
	rest, ok := strings.CutPrefix(key, workPrefix)
	random, side, _ := strings.Cut(rest, "/")
	return ok && len(random) == len(rand.Text()) && (side == upperSide || side == lowerSide)
}
