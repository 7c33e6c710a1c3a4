package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/snapshots"
)

const (
	largeLayer    = 1 << 30 // bytes of content
	largestMemory = 100 << 20
)

// memory imports an image with one large layer in a process of its own, whose
// largest resident set the kernel keeps. The layer is compressed with the largest
// window that is accepted, which takes the most memory of all forms.
func (b *bench) memory(ctx context.Context) (err error) {
	s, err := b.newStore(ctx, "memory")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.destroy()) }()
	dir := filepath.Join(b.dir, "large.oci")
	size, err := makeLayout(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := s.driver.Close(); err != nil { // the child takes over
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := command.Run(ctx, self, "-import", dir, s.config.Root)
	if err := errors.Join(err, s.reopen(ctx)); err != nil {
		return err
	}
	peak, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return err
	}
	b.add(row{
		operation: "memory of an import, at most", floor: "-", ours: bytesize.Format(peak),
		target: "< " + bytesize.Format(largestMemory), met: peak < largestMemory,
	}.note("the process's peak resident set, the program itself and the catalog's mapping included; one layer of %s, %s as zstd with a window of 16MiB",
		bytesize.Format(largeLayer), bytesize.Format(size)))
	return nil
}

// importChild imports a layout into a store and prints its peak resident set in bytes.
func importChild(ctx context.Context, layout, root string) (err error) {
	dm, err := devmapper.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dm.Close()) }()
	s := &store{config: snapshots.Config{Root: root, DM: dm}}
	if err := s.reopen(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.driver.Close()) }()
	store, err := s.images()
	if err != nil {
		return err
	}
	if _, err := store.Import(ctx, "oci:"+layout, images.ImportOptions{Name: "large"}); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			_, err := fmt.Println(kib << 10)
			return err
		}
	}
	return errors.New("/proc/self/status has no VmHWM")
}

// makeLayout makes an image of one file that nothing can compress, and gives the
// size of its layer's blob.
func makeLayout(dir string) (size int64, err error) {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return 0, err
	}
	layer, diffID, err := makeLayer(blobs)
	if err != nil {
		return 0, err
	}
	add := func(mediaType string, v any) (ocispec.Descriptor, error) {
		data, err := json.Marshal(v)
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		return d, errors.Join(err, os.WriteFile(filepath.Join(blobs, d.Digest.Encoded()), data, 0o600))
	}
	config, err := add(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	})
	if err != nil {
		return 0, err
	}
	manifest, err := add(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return 0, err
	}
	for name, v := range map[string]any{
		ocispec.ImageIndexFile:  ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}},
		ocispec.ImageLayoutFile: ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion},
	} {
		data, err := json.Marshal(v)
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, name), data, 0o600)); err != nil {
			return 0, err
		}
	}
	return layer.Size, nil
}

// makeLayer writes the layer's blob into a folder.
func makeLayer(blobs string) (d ocispec.Descriptor, diffID digest.Digest, err error) {
	f, err := os.Create(filepath.Join(blobs, "layer"))
	if err != nil {
		return d, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	packed, plain := digest.SHA256.Digester(), digest.SHA256.Digester()
	z, err := zstd.NewWriter(io.MultiWriter(f, packed.Hash()), zstd.WithWindowSize(16<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return d, "", err
	}
	t := tar.NewWriter(io.MultiWriter(z, plain.Hash()))
	if err := t.WriteHeader(&tar.Header{Name: "large", Size: largeLayer, Mode: 0o600}); err != nil {
		return d, "", err
	}
	if _, err := io.CopyN(t, rand.NewChaCha8([32]byte{}), largeLayer); err != nil {
		return d, "", err
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return d, "", err
	}
	at, err := f.Seek(0, io.SeekCurrent)
	d = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: packed.Digest(), Size: at}
	return d, plain.Digest(), errors.Join(err, os.Rename(f.Name(), filepath.Join(blobs, d.Digest.Encoded())))
}
