package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/images/imagestest"
)

// bench is a Store on a driver of directories.
type bench struct {
	*images.Store
	driver *imagestest.Directories
	root   string
	config images.Config
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	snaps := tb.TempDir()
	b := &bench{driver: imagestest.NewDirectories(snaps), root: tb.TempDir()}
	b.config = images.Config{Root: b.root, Snapshots: b.driver, Mount: imagestest.Mount}
	b.reopen(tb)
	return b
}

// reopen opens the Store anew, as after a restart.
func (b *bench) reopen(tb testing.TB) {
	tb.Helper()
	var err error
	b.Store, err = images.Open(b.config)
	require.NoError(tb, err)
}

// blobs lists what lies in the content store, unfinished blobs included.
func (b *bench) blobs(tb testing.TB) []string {
	tb.Helper()
	entries, err := os.ReadDir(filepath.Join(b.root, "content/blobs/sha256"))
	require.NoError(tb, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// blob is a piece of an image in the making.
type blob struct {
	desc   ocispec.Descriptor
	data   []byte
	diffID digest.Digest
}

func layerBlob(tb testing.TB, mediaType string, raw []byte) blob {
	tb.Helper()
	var buf bytes.Buffer
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
		buf.Write(raw)
	case ocispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewWriter(&buf)
		require.NoError(tb, err)
		_, err = z.Write(raw)
		require.NoError(tb, err)
		require.NoError(tb, z.Close())
	default:
		z := gzip.NewWriter(&buf)
		_, err := z.Write(raw)
		require.NoError(tb, err)
		require.NoError(tb, z.Close())
	}
	return blob{describe(mediaType, buf.Bytes()), buf.Bytes(), digest.FromBytes(raw)}
}

func gz(tb testing.TB, raw []byte) blob {
	tb.Helper()
	return layerBlob(tb, ocispec.MediaTypeImageLayerGzip, raw)
}

func describe(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// built is an image with all of its blobs.
type built struct {
	name     string
	manifest blob
	config   blob
	layers   []blob
	platform ocispec.Platform
}

var birthday = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func build(tb testing.TB, name string, layers ...blob) built {
	tb.Helper()
	return buildFor(tb, name, ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, layers...)
}

func buildFor(tb testing.TB, name string, p ocispec.Platform, layers ...blob) built {
	tb.Helper()
	img := map[string]any{
		"created": birthday, "architecture": p.Architecture, "os": p.OS,
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sh"}, "Healthcheck": map[string]any{"Test": []string{"NONE"}}},
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	diffIDs := []digest.Digest{}
	history := []ocispec.History{}
	for i, l := range layers {
		m.Layers = append(m.Layers, l.desc)
		diffIDs = append(diffIDs, l.diffID)
		history = append(history, ocispec.History{Created: &birthday, CreatedBy: "ADD layer " + string(rune('1'+i))})
	}
	history = append(history, ocispec.History{Created: &birthday, CreatedBy: "CMD sh", EmptyLayer: true})
	img["rootfs"] = ocispec.RootFS{Type: "layers", DiffIDs: diffIDs}
	img["history"] = history
	raw := marshal(tb, img)
	config := blob{desc: describe(ocispec.MediaTypeImageConfig, raw), data: raw}
	m.Config = config.desc
	raw = marshal(tb, m)
	return built{name, blob{desc: describe(ocispec.MediaTypeImageManifest, raw), data: raw}, config, layers, p}
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := json.Marshal(v)
	require.NoError(tb, err)
	return raw
}

func (b built) blobs() []blob { return append([]blob{b.manifest, b.config}, b.layers...) }

// layout writes an OCI layout.
func layout(tb testing.TB, dir string, list ...built) string {
	tb.Helper()
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}}
	blobs := filepath.Join(dir, "blobs/sha256")
	require.NoError(tb, os.MkdirAll(blobs, 0o755))
	for _, b := range list {
		for _, x := range b.blobs() {
			require.NoError(tb, os.WriteFile(filepath.Join(blobs, x.desc.Digest.Encoded()), x.data, 0o644))
		}
		d := b.manifest.desc
		d.Annotations = map[string]string{ocispec.AnnotationRefName: b.name}
		index.Manifests = append(index.Manifests, d)
	}
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "index.json"), marshal(tb, index), 0o644))
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return dir
}

// pack makes a tar of a directory.
func pack(tb testing.TB, dir string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "image.tar")
	f, err := os.Create(file)
	require.NoError(tb, err)
	defer f.Close()
	tw := tar.NewWriter(f)
	require.NoError(tb, tw.AddFS(os.DirFS(dir)))
	require.NoError(tb, tw.Close())
	return file
}

// chains lists the keys of the layers' snapshots.
func chains(r images.Record) []string {
	list := []string{}
	for _, l := range r.Layers {
		list = append(list, l.ChainID.String())
	}
	return list
}

func noise(n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(p)
	return p
}

func newCancel() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}
