package backend

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/tool"
)

// FuseOverlay is overlayfs in user space, as rootless Podman uses it where the kernel's
// cannot be mounted by users.
type FuseOverlay struct{}

// About describes the backend.
func (FuseOverlay) About() bench.About {
	return bench.About{Name: "fuse-overlayfs", Text: "overlayfs in a user-space process; copies the whole file up", Kind: bench.KindFile, Filesystem: "ext4"}
}

// Ready looks for the program and the kernel's FUSE.
func (FuseOverlay) Ready() error {
	if err := tool.FuseOverlayFS.Installed(); err != nil {
		return fmt.Errorf("%w: %w", bench.ErrNotReady, err)
	}
	if !known("fuse") {
		return lacks("fuse")
	}
	return formats("ext4")
}

// Open formats the disk.
func (FuseOverlay) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	b, err := newBase(ctx, d, dir, "ext4")
	if err != nil {
		return nil, err
	}
	return newLayered(b, dir, func(merged, options string) error {
		_, err := tool.FuseOverlayFS.Run(ctx, "-o", options, merged)
		return err
	})
}
