package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	annotationName   = "org.opencontainers.image.ref.name"
	annotationRecipe = "veneer.test.image.recipe"
)

// imageConfig is what differs between the configurations of the images.
type imageConfig struct {
	cmd  []string
	port string
}

// An image is a name, a configuration and layers, lowest first.
type image struct {
	name    string
	config  imageConfig
	created time.Time
	layers  []storedLayer
}

// layerNotes are the history of the layers, lowest first.
var layerNotes = []string{"mmdebstrap --variant=minbase bookworm", "apt-get install ca-certificates", "apt-get install %s"}

// writeLayout writes the images as one OCI layout. A blob is written once,
// however many images have it.
func writeLayout(path string, images []image, r recipe) error {
	dir, err := layout.Write(path, empty.Index)
	if err != nil {
		return fmt.Errorf("make the layout: %w", err)
	}
	for _, img := range images {
		built, err := build(img)
		if err != nil {
			return fmt.Errorf("image %s: %w", img.name, err)
		}
		recipeText, err := json.Marshal(r)
		if err != nil {
			return err
		}
		err = dir.AppendImage(built, layout.WithAnnotations(map[string]string{
			annotationName: img.name, annotationRecipe: string(recipeText),
		}))
		if err != nil {
			return fmt.Errorf("image %s: %w", img.name, err)
		}
	}
	return nil
}

func build(img image) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	for i, stored := range img.layers {
		layer, err := tarball.LayerFromFile(stored.path, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		note := layerNotes[i]
		if i == len(img.layers)-1 {
			note = fmt.Sprintf(note, img.config.cmd[0])
		}
		adds = append(adds, mutate.Addendum{Layer: layer, History: v1.History{
			Created: v1.Time{Time: img.created}, CreatedBy: note,
		}})
	}
	built, err := mutate.Append(base, adds...)
	if err != nil {
		return nil, err
	}
	config, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: img.created}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	config.Config.Cmd = img.config.cmd
	if img.config.port != "" {
		config.Config.ExposedPorts = map[string]struct{}{img.config.port: {}}
	}
	return mutate.ConfigFile(built, config)
}

// complete tells whether a layout made by the same recipe is at path, with every
// blob in its full length.
func complete(path string, r recipe) bool {
	dir, err := layout.FromPath(path)
	if err != nil {
		return false
	}
	index, err := dir.ImageIndex()
	if err != nil {
		return false
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) != 2 {
		return false
	}
	for _, d := range list.Manifests {
		var made recipe
		if json.Unmarshal([]byte(d.Annotations[annotationRecipe]), &made) != nil || made != r {
			return false
		}
		img, err := dir.Image(d.Digest)
		if err != nil {
			return false
		}
		manifest, err := img.Manifest()
		if err != nil {
			return false
		}
		for _, blob := range append(manifest.Layers, manifest.Config) {
			info, err := os.Stat(filepath.Join(path, "blobs", blob.Digest.Algorithm, blob.Digest.Hex))
			if err != nil || info.Size() != blob.Size {
				return false
			}
		}
	}
	return true
}
