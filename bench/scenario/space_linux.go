package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/bench"
)

// Space asks what is stored, and what comes back.
type Space struct{}

// Summary describes the scenario.
func (Space) Summary() bench.Summary {
	return bench.Summary{
		Name: "space", Question: "How much space do containers take, and how much comes back?",
		Axis: "size of each write", Unit: "B",
		Text: `Containers of one image are started and do nothing, or each changes 4 KiB in ten places
of a large file. Removed: a container that wrote a new file is removed; 1 means that all
the space that it took comes back. Scattered writes: eight writes of a size, far apart in a file
of the image; what is stored and what the disk was given, by the size of the writes,
shows the price of the pool's block size: below it each write stores a block, from it
on, nothing more than the data.`,
	}
}

// Ready needs no tool.
func (Space) Ready() error { return nil }

func (Space) file(s bench.Scale) content {
	return content{"space", bench.Pick[int64](s, 16*mib, 16*mib, 32*mib)}
}

func (Space) containers(s bench.Scale) int { return bench.Pick(s, 2, 3, 10) }

func (Space) sizes(s bench.Scale) []int64 {
	return bench.Pick(s, []int64{4 * kib, mib}, []int64{4 * kib, 64 * kib, 512 * kib}, []int64{4 * kib, 16 * kib, 64 * kib, 128 * kib, 256 * kib, 512 * kib, mib})
}

const (
	places   = 10 // where each container writes
	scatters = 8
)

// Prepare makes the image.
func (x Space) Prepare(ctx context.Context, s *bench.Site) error {
	return s.Store.Commit(ctx, "base", "", func(dir string) error { return x.file(s.Scale).write(filepath.Join(dir, "file")) })
}

// Cases are what containers do.
func (x Space) Cases(scale bench.Scale) []bench.Case {
	n := x.containers(scale)
	cases := []bench.Case{
		{Name: fmt.Sprintf("%d containers that do nothing", n), Run: func(ctx context.Context, s *bench.Site) error {
			return x.many(ctx, s, n, func(string) error { return nil })
		}},
		{Name: fmt.Sprintf("%d containers, 4 KiB in %d places of a file of %s each", n, places, human(x.file(scale).size)), Run: func(ctx context.Context, s *bench.Site) error {
			return x.many(ctx, s, n, func(dir string) error {
				return scatter(filepath.Join(dir, "file"), x.file(s.Scale).size, places, page)
			})
		}},
		{Name: "removed: a container that wrote 16 MiB", Run: x.removed},
	}
	for _, size := range x.sizes(scale) {
		cases = append(cases, bench.Case{
			Name: fmt.Sprintf("%d scattered writes of %s", scatters, human(size)), Series: "scattered writes", X: float64(size),
			Run: func(ctx context.Context, s *bench.Site) error { return x.scattered(ctx, s, size) },
		})
	}
	return cases
}

func (Space) many(ctx context.Context, s *bench.Site, n int, do func(dir string) error) error {
	err := s.Measure(ctx, func() error {
		for range n {
			c, err := s.Container(ctx, "base")
			if err != nil {
				return err
			}
			if err := do(c.Dir); err != nil {
				return err
			}
		}
		return nil
	})
	s.Forget(bench.Read, bench.Time)
	return fits(err)
}

// scatter writes in evenly spaced places of a file, and makes sure of it.
func scatter(path string, size int64, n int, each int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	data := make([]byte, each)
	for i := range n {
		at := size / int64(n) * int64(i) / (1 * mib) * (1 * mib)
		if _, err := f.WriteAt(data, at); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

func (x Space) scattered(ctx context.Context, s *bench.Site, each int64) error {
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir, "file")
	if err := warm(path); err != nil {
		return err
	}
	err = s.Measure(ctx, func() error { return scatter(path, x.file(s.Scale).size, scatters, each) })
	s.Forget(bench.Read)
	return err
}

// removed counts what comes back.
func (Space) removed(ctx context.Context, s *bench.Site) error {
	before, err := s.Store.Stored(ctx)
	if err != nil {
		return err
	}
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	if err := (content{"own", 16 * mib}).write(filepath.Join(c.Dir, "own")); err != nil {
		return err
	}
	if err := s.Store.Settle(ctx); err != nil {
		return err
	}
	full, err := s.Store.Stored(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Stop(ctx, c), s.Remove(ctx, c), s.Store.Settle(ctx)); err != nil {
		return err
	}
	now, err := s.Store.Stored(ctx)
	if err == nil {
		s.Record(bench.Returned, (float64(full.Used)-float64(now.Used))/(float64(full.Used)-float64(before.Used)))
	}
	return err
}
