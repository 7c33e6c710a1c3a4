package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
)

// Lifecycle asks what containers cost that do nothing.
type Lifecycle struct{}

// Summary describes the scenario.
func (Lifecycle) Summary() bench.Summary {
	return bench.Summary{
		Name: "lifecycle", Question: "What does it cost to unpack a layer, and to create, start, stop and remove containers?",
		Axis: "containers",
		Text: `Unpack writes a layer of small files and commits it. Containers of a small image are
created and mounted one after the other, then unmounted and removed; in a storm, sixteen
at a time. Times are for all of them, and removing is not over until the space is given
back. No process is started in them: that costs the same on every backend.

Memory is what the page cache grows by when the same file of the image is read in every
container. An overlay shows all of them one inode of the layer, so it is cached once.
Block snapshots, btrfs and reflinks have an inode for each container and cache it as
often: this is what they cost on a host of many equal containers.`,
	}
}

// Ready needs no tool.
func (Lifecycle) Ready() error { return nil }

func (Lifecycle) counts(s bench.Scale) []int {
	return bench.Pick(s, []int{1, 3}, []int{1, 5}, []int{1, 10, 100, 1000})
}

func (Lifecycle) tree(s bench.Scale) tree {
	return tree{"lifecycle", bench.Pick(s, 20, 20, 100), 4 * kib}
}

func (Lifecycle) shared(s bench.Scale) content {
	return content{"shared", bench.Pick[int64](s, mib, 8*mib, 16*mib)}
}

// Prepare makes a small image, and one with a file to read.
func (x Lifecycle) Prepare(ctx context.Context, s *bench.Site) error {
	err := s.Store.Commit(ctx, "base", "", func(dir string) error { return x.tree(s.Scale).write(dir) })
	if err != nil {
		return err
	}
	return s.Store.Commit(ctx, "shared", "", func(dir string) error { return x.shared(s.Scale).write(filepath.Join(dir, "file")) })
}

// Cases are verbs, for numbers of containers.
func (x Lifecycle) Cases(scale bench.Scale) []bench.Case {
	cases := []bench.Case{{Name: fmt.Sprintf("unpack a layer of %d files", x.tree(scale).files), Run: x.unpack}}
	add := func(series string, counts []int, run func(ctx context.Context, s *bench.Site, n int) error) {
		for _, n := range counts {
			cases = append(cases, bench.Case{
				Name: fmt.Sprintf("%s %d", series, n), Series: series, X: float64(n),
				Run: func(ctx context.Context, s *bench.Site) error { return fits(run(ctx, s, n)) },
			})
		}
	}
	counts := x.counts(scale)
	add("create and start", counts, x.start)
	add("stop and remove", counts, x.stop)
	add("storm of", counts[1:], x.storm)
	add("read one file in", bench.Pick(scale, []int{2}, []int{4}, []int{1, 4, 16}), x.memory)
	return cases
}

// fits turns a full disk into a result.
func fits(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return bench.Unsupported("so many do not fit on the disk")
	}
	return err
}

func (x Lifecycle) unpack(ctx context.Context, s *bench.Site) error {
	err := s.Measure(ctx, func() error {
		return s.Store.Commit(ctx, "unpacked", "base", func(dir string) error {
			t := x.tree(s.Scale)
			own := filepath.Join(dir, "own")
			return errors.Join(os.Mkdir(own, 0o755), t.write(own), sync(dir))
		})
	})
	s.Forget(bench.Read)
	return errors.Join(err, s.Store.Drop(ctx, "unpacked"))
}

// begin creates and starts containers, one after the other.
func (Lifecycle) begin(ctx context.Context, s *bench.Site, layer string, n int) ([]*bench.Container, error) {
	all := make([]*bench.Container, 0, n)
	for range n {
		c, err := s.Container(ctx, layer)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (x Lifecycle) start(ctx context.Context, s *bench.Site, n int) error {
	var all []*bench.Container
	err := s.Measure(ctx, func() (err error) { all, err = x.begin(ctx, s, "base", n); return err })
	s.Forget(bench.Read)
	if err == nil && s.Checking {
		err = x.tree(s.Scale).check(all[n-1].Dir)
	}
	return err
}

func (x Lifecycle) stop(ctx context.Context, s *bench.Site, n int) error {
	all, err := x.begin(ctx, s, "base", n)
	if err != nil {
		return err
	}
	err = s.Measure(ctx, func() error {
		for _, c := range all {
			if err := errors.Join(s.Stop(ctx, c), s.Remove(ctx, c)); err != nil {
				return err
			}
		}
		return s.Store.Settle(ctx)
	})
	s.Forget(bench.Read, bench.Stored)
	return err
}

// together is how many of a storm's containers are worked on at a time.
const together = 16

// storm does all of it to many at once.
func (Lifecycle) storm(ctx context.Context, s *bench.Site, n int) error {
	all := make([]*bench.Container, n)
	for i := range all {
		all[i] = s.Named()
	}
	err := s.Measure(ctx, func() error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(together)
		for _, c := range all {
			group.Go(func() error {
				if err := s.Create(ctx, c, "base"); err != nil {
					return err
				}
				if err := s.Start(ctx, c); err != nil {
					return err
				}
				if err := s.Stop(ctx, c); err != nil {
					return err
				}
				return s.Remove(ctx, c)
			})
		}
		return errors.Join(group.Wait(), s.Store.Settle(context.WithoutCancel(ctx)))
	})
	s.Forget(bench.Read, bench.Stored)
	return err
}

// memory reads one file of the image in every container.
func (x Lifecycle) memory(ctx context.Context, s *bench.Site, n int) error {
	all, err := x.begin(ctx, s, "shared", n)
	if err != nil {
		return err
	}
	if err := s.Chill(ctx); err != nil {
		return err
	}
	before, err := cached()
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := warm(filepath.Join(c.Dir, "file")); err != nil {
			return err
		}
	}
	after, err := cached()
	if err != nil {
		return err
	}
	s.Record(bench.Memory, max(0, after-before))
	return nil
}

// cached is the size of the page cache, of files and of block devices: proc(5).
func cached() (float64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	var total float64
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "Cached" && name != "Buffers" {
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: %w", err)
		}
		total += kb * kib
	}
	return total, nil
}
