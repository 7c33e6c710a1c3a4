package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// Copy copies the whole image for each container, on ext4: what Docker's vfs driver
// does, and containerd's native one.
type Copy struct{}

// About describes the backend.
func (Copy) About() bench.About {
	return bench.About{Name: "copy", Text: "a full copy of the image for every container, as Docker's vfs driver makes", Kind: bench.KindCopy, Filesystem: "ext4"}
}

// Ready looks for mkfs.ext4.
func (Copy) Ready() error { return formats("ext4") }

// Open formats the disk.
func (Copy) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	b, err := newBase(ctx, d, dir, "ext4")
	return &folders{base: b, data: copyBytes}, err
}

// Reflink copies the image's tree for each container, and shares the extents of its
// files, on xfs: cp --reflink=always.
type Reflink struct{}

// About describes the backend.
func (Reflink) About() bench.About {
	return bench.About{Name: "reflink", Text: "a copy of the image's tree that shares the files' extents (cp --reflink)", Kind: bench.KindExtent, Filesystem: "xfs", Options: "reflink=1"}
}

// Ready looks for mkfs.xfs and the kernel's xfs.
func (Reflink) Ready() error {
	if !known("xfs") {
		return lacks("xfs")
	}
	return formats("xfs")
}

// Open formats the disk.
func (Reflink) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	b, err := newBase(ctx, d, dir, "xfs")
	return &folders{base: b, data: shareExtents}, err
}

func formats(kind string) error {
	if missing := filesystem.MissingTools(kind); len(missing) > 0 {
		return fmt.Errorf("%w: install %s", bench.ErrNotReady, strings.Join(missing, " and "))
	}
	return nil
}

// folders is a store in which layers and containers are trees of their own.
type folders struct {
	*base
	data func(to, from *os.File) error
}

func (s *folders) layer(name string) string     { return filepath.Join(s.dir, "layer-"+name) }
func (s *folders) container(name string) string { return filepath.Join(s.dir, "container-"+name) }

func (s *folders) Commit(_ context.Context, layer, parent string, fill func(dir string) error) error {
	dir := s.layer(layer)
	err := os.Mkdir(dir, 0o755)
	if err == nil && parent != "" {
		err = copyTree(s.layer(parent), dir, s.data)
	}
	if err == nil {
		err = fill(dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

func (s *folders) Drop(_ context.Context, layer string) error {
	s.removed.Store(true)
	return os.RemoveAll(s.layer(layer))
}

func (s *folders) Create(_ context.Context, container, layer string) error {
	dir := s.container(container)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := copyTree(s.layer(layer), dir, s.data); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

func (s *folders) Mount(_ context.Context, container string) (string, error) {
	return s.container(container), nil
}

func (s *folders) Unmount(context.Context, string) error { return nil }

func (s *folders) Remove(_ context.Context, container string) error {
	s.removed.Store(true)
	return os.RemoveAll(s.container(container))
}

func (s *folders) Close(context.Context) error {
	if s.base == nil {
		return nil
	}
	return s.close()
}
