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

// Changes asks which changes of a file set off a copy.
type Changes struct{}

// Summary describes the scenario.
func (Changes) Summary() bench.Summary {
	return bench.Summary{
		Name: "changes", Question: "Which changes of a file set off a copy, and what does each cost?",
		Text: `Each case makes one change to a large file of a lower layer, in a fresh container with
the file in the page cache. Changes of data end with fsync; changes of metadata do not,
as programs make them, and their bytes are counted until they are on the disk.

overlayfs copies a file up once, at the first open for writing, even if nothing is
written then, and at the first chmod, chown or setxattr, unless metacopy is on. The
second write is free of that. Block snapshots copy the blocks that a change touches,
whatever it is: for a change of metadata the block of the inode, and of the journal.`,
	}
}

// Ready needs no tool.
func (Changes) Ready() error { return nil }

func (Changes) content(s bench.Scale) content {
	return content{"changes", bench.Pick[int64](s, mib, 16*mib, 64*mib)}
}

// Prepare makes the file.
func (x Changes) Prepare(ctx context.Context, s *bench.Site) error {
	return s.Store.Commit(ctx, "base", "", func(dir string) error {
		return x.content(s.Scale).write(filepath.Join(dir, "file"))
	})
}

// change is one case: what is done before, what is measured, and what the file then
// must be.
type change struct {
	name   string
	before func(path string) error
	do     func(path string, size int64) error
	after  func(path string, was content) error
}

func same(path string, was content) error { return was.check(path) }

func changes() []change {
	return []change{
		{name: "open for reading, read 4 KiB", do: readPage, after: same},
		{name: "open for writing, write nothing", do: func(path string, _ int64) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			return f.Close()
		}, after: same},
		{name: "first write of 4 KiB", do: func(path string, size int64) error { return writeAt(path, fresh(), size/2) },
			after: func(path string, was content) error { return was.check(path, patch{was.size / 2, fresh()}) }},
		{name: "second write of 4 KiB", before: func(path string) error { return writeAt(path, fresh(), 0) },
			do: func(path string, size int64) error { return writeAt(path, fresh(), size/2) },
			after: func(path string, was content) error {
				return was.check(path, patch{0, fresh()}, patch{was.size / 2, fresh()})
			}},
		{name: "append 4 KiB", do: func(path string, size int64) error { return writeAt(path, fresh(), size) },
			after: func(path string, was content) error { return was.check(path, patch{was.size, fresh()}) }},
		{name: "truncate to half", do: func(path string, size int64) error {
			return synced(path, func() error { return os.Truncate(path, size/2) })
		},
			after: func(path string, was content) error { return was.starts(path, was.size/2) }},
		{name: "truncate to nothing", do: func(path string, _ int64) error { return synced(path, func() error { return os.Truncate(path, 0) }) },
			after: func(path string, was content) error { return was.starts(path, 0) }},
		{name: "write through mmap", do: func(path string, size int64) error { return mapped(path, size/2/page*page) },
			after: func(path string, was content) error {
				return was.check(path, patch{was.size / 2 / page * page, fresh()})
			}},
		{name: "chmod", do: func(path string, _ int64) error { return os.Chmod(path, 0o600) }, after: same},
		{name: "chown", do: func(path string, _ int64) error { return os.Chown(path, 1000, 1000) }, after: same},
		{name: "setxattr", do: func(path string, _ int64) error { return unix.Setxattr(path, "user.cowbench", []byte("changed"), 0) }, after: same},
	}
}

// Cases are kinds of change.
func (x Changes) Cases(bench.Scale) []bench.Case {
	var cases []bench.Case
	for _, c := range changes() {
		cases = append(cases, bench.Case{Name: c.name, Run: func(ctx context.Context, s *bench.Site) error { return x.measure(ctx, s, c) }})
	}
	return cases
}

func (x Changes) measure(ctx context.Context, s *bench.Site, c change) error {
	k, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	path, was := filepath.Join(k.Dir, "file"), x.content(s.Scale)
	if err := warm(path); err != nil {
		return err
	}
	if c.before != nil {
		if err := c.before(path); err != nil {
			return err
		}
	}
	err = s.Measure(ctx, func() error { return c.do(path, was.size) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return bench.Unsupported("%s is not supported by this filesystem", c.name)
	}
	if err != nil {
		return err
	}
	s.Forget(bench.Read)
	if s.Checking {
		return c.after(path, was)
	}
	return nil
}

func readPage(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(make([]byte, page), size/2)
	return errors.Join(err, f.Close())
}

// synced does something to a file and makes sure of it.
func synced(path string, do func() error) error {
	if err := do(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// mapped writes a page through a shared mapping: mmap(2), msync(2).
func mapped(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), at, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return errors.Join(fmt.Errorf("map %s: %w", path, err), f.Close())
	}
	copy(m, fresh())
	return errors.Join(unix.Msync(m, unix.MS_SYNC), unix.Munmap(m), f.Close())
}
