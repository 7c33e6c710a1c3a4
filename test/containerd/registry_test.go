package containerd_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

// registryServer is a registry on the loopback device, which containerd asks without
// TLS. Its one image at the start has what a test's commands need, and sleeps as
// Kubernetes' pause does.
type registryServer struct {
	pause string
	close func()
	push  func(name string, image v1.Image) (ref string)
}

func (h *host) startRegistry() registryServer {
	h.t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)),
		registry.WithBlobHandler(registry.NewDiskBlobHandler(h.t.TempDir()))))
	h.t.Cleanup(server.Close)
	r := registryServer{close: server.Close, push: func(image string, v v1.Image) string {
		h.t.Helper()
		ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/"+image, name.Insecure)
		require.NoError(h.t, err)
		require.NoError(h.t, remote.Write(ref, v))
		return ref.Name()
	}}
	r.pause = r.push("pause", h.pause())
	return r
}

// pause is an image of one small layer: a few programs of the demonstration's base.
func (h *host) pause() v1.Image {
	h.t.Helper()
	demo := h.demoImage("python:demo")
	layers, err := demo.Layers()
	require.NoError(h.t, err)
	text, err := some(layers[0], "bin", "sbin", "lib", "lib64", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6",
		"dash", "sh", "cat", "dd", "df", "sleep", "sync")
	require.NoError(h.t, err)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil })
	require.NoError(h.t, err)
	image, err := mutate.AppendLayers(empty.Image, layer)
	require.NoError(h.t, err)
	config, err := image.ConfigFile()
	require.NoError(h.t, err)
	of, err := demo.ConfigFile()
	require.NoError(h.t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = of.OS, of.Architecture
	config.Config = v1.Config{Env: of.Config.Env, Cmd: []string{"sleep", "infinity"}}
	image, err = mutate.ConfigFile(image, config)
	require.NoError(h.t, err)
	return image
}

// some is what of a layer has one of the names, without the folders around it.
func some(layer v1.Layer, names ...string) (text []byte, err error) {
	in, err := layer.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var out bytes.Buffer
	from, to := tar.NewReader(in), tar.NewWriter(&out)
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			err := to.Close()
			return out.Bytes(), err
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag == tar.TypeDir || !slices.Contains(names, path.Base(header.Name)) {
			continue
		}
		if err := to.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.Copy(to, from); err != nil {
			return nil, err
		}
	}
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
