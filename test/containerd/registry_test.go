package containerd_test

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
)

// registryServer is a registry on the loopback device, which containerd asks without
// TLS. It has the demonstration's python image, and one that does what Kubernetes' pause
// does, made of python's lowest layer.
type registryServer struct {
	python, pause string
	close         func()
}

func (h *host) startRegistry() registryServer {
	h.t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)),
		registry.WithBlobHandler(registry.NewDiskBlobHandler(h.t.TempDir()))))
	h.t.Cleanup(server.Close)
	at := strings.TrimPrefix(server.URL, "http://")
	r := registryServer{python: at + "/python:latest", pause: at + "/pause:latest", close: server.Close}

	python := h.demoImage("python:demo")
	layers, err := python.Layers()
	require.NoError(h.t, err)
	pause, err := mutate.AppendLayers(empty.Image, layers[0])
	require.NoError(h.t, err)
	config, err := python.ConfigFile()
	require.NoError(h.t, err)
	config = config.DeepCopy()
	config.RootFS.DiffIDs, config.History = config.RootFS.DiffIDs[:1], nil
	config.Config.Entrypoint, config.Config.Cmd = []string{"sleep", "infinity"}, nil
	pause, err = mutate.ConfigFile(pause, config)
	require.NoError(h.t, err)
	for ref, image := range map[string]v1.Image{r.python: python, r.pause: pause} {
		ref, err := name.ParseReference(ref, name.Insecure)
		require.NoError(h.t, err)
		require.NoError(h.t, remote.Write(ref, image))
	}
	return r
}

func (h *host) demoImage(ref string) v1.Image {
	h.t.Helper()
	index, err := layout.ImageIndexFromPath("../../.cache/images/demo.oci")
	require.NoError(h.t, err)
	manifest, err := index.IndexManifest()
	require.NoError(h.t, err)
	for _, d := range manifest.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == ref {
			image, err := index.Image(d.Digest)
			require.NoError(h.t, err)
			return image
		}
	}
	require.FailNow(h.t, "the demonstration has no image "+ref)
	return nil
}
