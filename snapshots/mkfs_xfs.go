package snapshots

import "context"

// formatXFS makes an xfs filesystem. -K keeps it from discarding a device that has
// nothing to discard.
func formatXFS(ctx context.Context, f Format) error {
	args := append([]string{"-q", "-f", "-K"}, f.Options...)
	return mkfs(ctx, "mkfs.xfs", "xfsprogs", append(args, f.Device)...)
}
