package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
)

// Depth asks whether many layers are slower than one.
type Depth struct{}

// Summary describes the scenario.
func (Depth) Summary() bench.Summary {
	return bench.Summary{
		Name: "depth", Question: "Does an image of many layers cost more than one of a single layer?",
		Axis: "layers",
		Text: `Images of one to 128 layers, of which each adds a file to the same directory. In a fresh
container with cold caches, 64 names of the bottom layer are looked up, 64 names that no
layer has, and 64 files of the bottom layer are read. Start is the time to create and
mount a container.

overlayfs asks the directory of every layer for a name, down to the one that has it, so
lookups and mounts grow with the depth. A block snapshot of any depth is one device with
one filesystem; only the pool's metadata knows where a block came from.`,
	}
}

// Ready needs no tool.
func (Depth) Ready() error { return nil }

func (Depth) depths(s bench.Scale) []int {
	return bench.Pick(s, []int{1, 4}, []int{1, 32}, []int{1, 8, 32, 64, 128})
}

const lookups = 64

func bottom(dir string, i int) string { return filepath.Join(dir, "etc", fmt.Sprintf("bottom-%d", i)) }

// Prepare stacks the layers; images of fewer layers are lower ones of the stack.
func (x Depth) Prepare(ctx context.Context, s *bench.Site) error {
	depths := x.depths(s.Scale)
	for n := 1; n <= depths[len(depths)-1]; n++ {
		parent := ""
		if n > 1 {
			parent = fmt.Sprintf("layer-%d", n-1)
		}
		err := s.Store.Commit(ctx, fmt.Sprintf("layer-%d", n), parent, func(dir string) error {
			if n > 1 {
				return os.WriteFile(filepath.Join(dir, "etc", fmt.Sprintf("of-layer-%d", n)), fresh(), 0o644)
			}
			if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
				return err
			}
			for i := range lookups {
				if err := (content{fmt.Sprint("bottom", i), page}).write(bottom(dir, i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Cases are depths, for each kind of access.
func (x Depth) Cases(scale bench.Scale) []bench.Case {
	var cases []bench.Case
	for _, kind := range []struct {
		name string
		run  func(ctx context.Context, s *bench.Site, depth int) error
	}{
		{"start", x.start},
		{"look up 64 names", x.access(func(dir string, i int) error {
			var st unix.Stat_t
			return unix.Lstat(bottom(dir, i), &st)
		})},
		{"look up 64 absent names", x.access(func(dir string, i int) error {
			var st unix.Stat_t
			if err := unix.Lstat(bottom(dir, i)+"-absent", &st); !errors.Is(err, unix.ENOENT) {
				return bench.Corrupt("a name is found that no layer has")
			}
			return nil
		})},
		{"read 64 files", x.access(func(dir string, i int) error {
			_, err := os.ReadFile(bottom(dir, i))
			return err
		})},
	} {
		for _, depth := range x.depths(scale) {
			cases = append(cases, bench.Case{
				Name: fmt.Sprintf("%s, %d layers", kind.name, depth), Series: kind.name, X: float64(depth),
				Run: func(ctx context.Context, s *bench.Site) error { return kind.run(ctx, s, depth) },
			})
		}
	}
	return cases
}

func (Depth) start(ctx context.Context, s *bench.Site, depth int) error {
	err := s.MeasureCold(ctx, func() error {
		_, err := s.Container(ctx, fmt.Sprintf("layer-%d", depth))
		return err
	})
	s.Forget(bench.Stored)
	return err
}

// access measures what is done to each of the names, with cold caches.
func (Depth) access(do func(dir string, i int) error) func(ctx context.Context, s *bench.Site, depth int) error {
	return func(ctx context.Context, s *bench.Site, depth int) error {
		c, err := s.Container(ctx, fmt.Sprintf("layer-%d", depth))
		if err != nil {
			return err
		}
		err = s.MeasureCold(ctx, func() error {
			for i := range lookups {
				if err := do(c.Dir, i); err != nil {
					return err
				}
			}
			return nil
		})
		s.Forget(bench.Written, bench.Stored)
		if err != nil || !s.Checking {
			return err
		}
		for n := 2; n <= depth; n++ {
			if _, err := os.Stat(filepath.Join(c.Dir, "etc", fmt.Sprintf("of-layer-%d", n))); err != nil {
				return bench.Corrupt("the file of layer %d is not there: %v", n, err)
			}
		}
		return (content{"bottom0", page}).check(bottom(c.Dir, 0))
	}
}
