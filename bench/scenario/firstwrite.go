package scenario

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/veneerdm/veneer/bench"
)

// FirstWrite is the question that the others stand on: what does the first change of a
// file cost that came with the image?
type FirstWrite struct{}

// Summary describes the scenario.
func (FirstWrite) Summary() bench.Summary {
	return bench.Summary{
		Name: "first-write", Question: "What does it cost to change 4 KiB of a file that came with the image?",
		Axis: "size of the file", Unit: "B",
		Text: `A fresh container opens a file of a lower layer, writes 4 KiB in its middle, calls
fsync and closes it. The file was read before, so it is in the page cache. Measured are
the time of that, what the disk was given until everything was on it, and how much
space it took. Setup is the time to create and start the container before: what "copy"
saves at the first write, it paid there.

Copy-up (overlay, aufs, fuse-overlayfs) copies the whole file, so time and bytes grow
with it. Block snapshots copy one block of the pool, whatever the size: the curve is
flat, and its height is the block, the journal of the filesystem inside and the pool's
own metadata. Where the curves cross is the file size from which on block snapshots are
the cheaper ones on this machine.`,
	}
}

// Ready needs no tool.
func (FirstWrite) Ready() error { return nil }

func (FirstWrite) sizes(scale bench.Scale) []int64 {
	return bench.Pick(scale,
		[]int64{4 * kib, mib, 16 * mib},
		[]int64{4 * kib, 64 * kib, mib, 16 * mib, 64 * mib},
		[]int64{4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib, 16 * mib, 64 * mib, 256 * mib, gib, 4 * gib})
}

func layerOf(size int64) string { return fmt.Sprintf("file-%d", size) }

// Prepare makes an image for each size, so that a full copy copies no more than the
// file in question.
func (f FirstWrite) Prepare(ctx context.Context, s *bench.Site) error {
	for _, size := range f.sizes(s.Scale) {
		if 3*uint64(size) > s.Disk.Size() {
			continue // its case says so
		}
		err := s.Store.Commit(ctx, layerOf(size), "", func(dir string) error {
			return content{layerOf(size), size}.write(filepath.Join(dir, "file"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Cases are sizes of the file.
func (f FirstWrite) Cases(scale bench.Scale) []bench.Case {
	var cases []bench.Case
	for _, size := range f.sizes(scale) {
		cases = append(cases, bench.Case{
			Name: human(size), X: float64(size),
			Run: func(ctx context.Context, s *bench.Site) error { return f.measure(ctx, s, size) },
		})
	}
	return cases
}

func (FirstWrite) measure(ctx context.Context, s *bench.Site, size int64) error {
	if 3*uint64(size) > s.Disk.Size() {
		return bench.Unsupported("a disk of %s has no room for copies of it", human(int64(s.Disk.Size())))
	}
	var c *bench.Container
	err := s.Time(bench.Setup, func() (err error) {
		c, err = s.Container(ctx, layerOf(size))
		return err
	})
	if err != nil {
		return err
	}
	path, at := filepath.Join(c.Dir, "file"), size/2/page*page
	if err := warm(path); err != nil {
		return err
	}
	if err := s.Measure(ctx, func() error { return writeAt(path, fresh(), at) }); err != nil {
		return err
	}
	s.Forget(bench.Read)
	if !s.Checking {
		return nil
	}
	original := content{layerOf(size), size}
	if err := original.check(path, patch{at, fresh()}); err != nil {
		return err
	}
	other, err := s.Container(ctx, layerOf(size))
	if err != nil {
		return err
	}
	return original.check(filepath.Join(other.Dir, "file"))
}
