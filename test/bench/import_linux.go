package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

const imageName = "nginx:demo"

// imports compares an import with tar, from the same files in the page cache to the
// same disk, until all is on it. Tar verifies nothing and stores no blobs.
func (b *bench) imports(ctx context.Context) (err error) {
	layers, err := layersOf(b.layout, imageName)
	if err != nil {
		return err
	}
	s, err := b.newStore(ctx, "import")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.destroy()) }()
	store, err := s.images()
	if err != nil {
		return err
	}
	source := fmt.Sprintf("oci:%s:%s", b.layout, imageName)
	p := plain{file: filepath.Join(b.dir, "plain.img"), dir: filepath.Join(b.dir, "plain")}
	all, err := b.interleave(ctx, b.rounds, side{
		before: func() error { return p.mount(ctx) },
		run:    func() error { return p.untar(ctx, layers) },
		after:  func() error { return p.unmount(ctx) },
	}, side{
		run: func() error {
			_, err := store.Import(ctx, source, images.ImportOptions{Name: "bench"})
			return err
		},
		after: func() error {
			_, err := store.Remove(ctx, "bench", images.RemoveOptions{})
			return errors.Join(err, s.driver.Drain(ctx))
		},
	})
	if err != nil {
		return errors.Join(err, p.unmount(context.WithoutCancel(ctx)))
	}
	b.add(against(fmt.Sprintf("import, %d layers", len(layers)), "tar -xzf of the layers into a plain ext4, sync", all[0], all[1], 1.2))
	return nil
}

// layersOf finds the layers' files of an image in a layout, bottom first.
func layersOf(layout, name string) ([]string, error) {
	blob := func(d digest.Digest) string {
		return filepath.Join(layout, "blobs", d.Algorithm().String(), d.Encoded())
	}
	var index ocispec.Index
	if err := readJSON(filepath.Join(layout, ocispec.ImageIndexFile), &index); err != nil {
		return nil, fmt.Errorf("the image to import: %w; make it with \"make images\"", err)
	}
	for _, m := range index.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] != name {
			continue
		}
		var manifest ocispec.Manifest
		if err := readJSON(blob(m.Digest), &manifest); err != nil {
			return nil, err
		}
		var files []string
		for _, l := range manifest.Layers {
			files = append(files, blob(l.Digest))
		}
		return files, nil
	}
	return nil, fmt.Errorf("%s has no image %s", layout, name)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// images opens the store's images, as the command veneer does.
func (s *store) images() (*images.Store, error) {
	return images.Open(images.Config{Root: s.config.Root, Snapshots: s.driver})
}

// plain is an ext4 on a file, attached and made as a pool's disks and templates are.
type plain struct {
	file, dir string
	loop      *loopback.Device
	mounted   bool
}

func (p *plain) mount(ctx context.Context) error {
	if err := loopback.CreateImage(p.file, snapshots.DefaultBaseSize); err != nil {
		return err
	}
	loop, err := loopback.Attach(ctx, p.file, loopback.Options{DirectIO: true, BlockSize: 4096})
	if err != nil {
		return err
	}
	p.loop = &loop
	if _, err := command.Run(ctx, "mkfs.ext4", "-q", "-F", "-E", "nodiscard,assume_storage_prezeroed=1", loop.Path); err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	err = snapshots.Mount{Type: "ext4", Source: loop.Path}.At(p.dir)
	p.mounted = err == nil
	return err
}

func (p *plain) untar(ctx context.Context, layers []string) error {
	for _, l := range layers {
		if _, err := command.Run(ctx, "tar", "-xzf", l, "-C", p.dir); err != nil {
			return err
		}
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
}

// unmount takes away as much as there is.
func (p *plain) unmount(ctx context.Context) error {
	var errs []error
	if p.mounted {
		errs = append(errs, filesystem.Unmount(p.dir))
	}
	if p.loop != nil {
		errs = append(errs, p.loop.Detach(ctx), os.Remove(p.file))
	}
	p.mounted, p.loop = false, nil
	return errors.Join(errs...)
}
