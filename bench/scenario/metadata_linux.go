package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
)

// Metadata asks what changes of many files cost that touch no data.
type Metadata struct{}

// Summary describes the scenario.
func (Metadata) Summary() bench.Summary {
	return bench.Summary{
		Name: "metadata", Question: "What do chmod -R, renames, links and removals in the image's directories cost?",
		Text: `The image has many small files in directories of a hundred. Each case starts a fresh
container and does to them what installers and entry points do. The changes are on the
disk when a case ends.

overlayfs copies every file up whose owner or mode changes (metacopy: only its inode),
answers EXDEV to the rename of a lower directory (redirect_dir: renames it), and hides
what is removed behind whiteouts and opaque directories, one upper entry each. A hard
link of the image is broken when one of its names is written to, and a mapping of a file
that was opened for reading goes on showing the old one. Block snapshots are plain
filesystems and know none of that; they copy the blocks with the inodes.`,
	}
}

// Ready needs no tool.
func (Metadata) Ready() error { return nil }

func (Metadata) tree(s bench.Scale) tree {
	return tree{"metadata", bench.Pick(s, 100, 100, 10000), kib}
}

// Prepare makes the image.
func (x Metadata) Prepare(ctx context.Context, s *bench.Site) error {
	return s.Store.Commit(ctx, "base", "", func(dir string) error {
		if err := x.tree(s.Scale).write(dir); err != nil {
			return err
		}
		if err := (content{"link", 64 * kib}).write(filepath.Join(dir, "first")); err != nil {
			return err
		}
		return os.Link(filepath.Join(dir, "first"), filepath.Join(dir, "second"))
	})
}

// Cases are what is done to the files.
func (x Metadata) Cases(scale bench.Scale) []bench.Case {
	t := x.tree(scale)
	all := func(name string, do func(s *bench.Site, dir string) error) bench.Case {
		return bench.Case{Name: name, Run: func(ctx context.Context, s *bench.Site) error { return x.measure(ctx, s, do) }}
	}
	return []bench.Case{
		all(fmt.Sprintf("chmod of %d files", t.files), func(_ *bench.Site, dir string) error {
			return t.each(dir, func(path string) error { return os.Chmod(path, 0o600) })
		}),
		all(fmt.Sprintf("chown of %d files", t.files), func(_ *bench.Site, dir string) error {
			return t.each(dir, func(path string) error { return os.Chown(path, 1000, 1000) })
		}),
		all("rename a directory of the image", func(s *bench.Site, dir string) error {
			return refused(s, os.Rename(filepath.Join(dir, t.folder(0)), filepath.Join(dir, "renamed")))
		}),
		all("hard link to a file of the image", func(s *bench.Site, dir string) error {
			return refused(s, os.Link(t.path(dir, 0), filepath.Join(dir, "linked")))
		}),
		all(fmt.Sprintf("remove %d files and their directories", t.files), func(_ *bench.Site, dir string) error {
			for i := range t.folders() {
				if err := os.RemoveAll(filepath.Join(dir, t.folder(i))); err != nil {
					return err
				}
			}
			return nil
		}),
		all("remove a directory and make it anew", func(_ *bench.Site, dir string) error {
			folder := filepath.Join(dir, t.folder(0))
			return errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o755))
		}),
		{Name: fmt.Sprintf("list %d directories, one file added to each", t.folders()), Run: func(ctx context.Context, s *bench.Site) error { return x.list(ctx, s, t) }},
		{Name: "write to one of two hard links", Run: x.twoNames},
		{Name: "write while another has it open for reading", Run: x.oldDescriptor},
	}
}

func (x Metadata) measure(ctx context.Context, s *bench.Site, do func(s *bench.Site, dir string) error) error {
	t := x.tree(s.Scale)
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	if err := t.stat(c.Dir); err != nil {
		return err
	}
	if err := s.Measure(ctx, func() error { return errors.Join(do(s, c.Dir), sync(c.Dir)) }); err != nil {
		return err
	}
	s.Forget(bench.Read)
	if !s.Checking {
		return nil
	}
	other, err := s.Container(ctx, "base") // the image is what it was
	if err != nil {
		return err
	}
	return t.check(other.Dir)
}

// list reads directories that have entries of the image and of the container.
func (x Metadata) list(ctx context.Context, s *bench.Site, t tree) error {
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	for i := range t.folders() {
		if err := os.WriteFile(filepath.Join(c.Dir, t.folder(i), "added"), nil, 0o644); err != nil {
			return err
		}
	}
	seen := 0
	err = s.MeasureCold(ctx, func() error {
		for i := range t.folders() {
			entries, err := os.ReadDir(filepath.Join(c.Dir, t.folder(i)))
			if err != nil {
				return err
			}
			seen += len(entries)
		}
		return nil
	})
	s.Forget(bench.Written, bench.Stored)
	if err == nil && seen != t.files+t.folders() {
		return bench.Corrupt("%d entries are listed, and %d are there", seen, t.files+t.folders())
	}
	return err
}

// twoNames looks whether two names of one file of the image stay one file.
func (Metadata) twoNames(ctx context.Context, s *bench.Site) error {
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	first, second := filepath.Join(c.Dir, "first"), filepath.Join(c.Dir, "second")
	if err := s.Measure(ctx, func() error { return writeAt(first, fresh(), 0) }); err != nil {
		return err
	}
	s.Forget(bench.Read)
	switch was := (content{"link", 64 * kib}); {
	case was.check(second, patch{0, fresh()}) == nil:
		s.Outcome("both names show it")
	case was.check(second) == nil:
		s.Outcome("the link is broken: the other name shows the old file")
	default:
		return bench.Corrupt("%s is neither the old file nor the new one", second)
	}
	return nil
}

// oldDescriptor looks what a reader sees that had the file open before.
func (Metadata) oldDescriptor(ctx context.Context, s *bench.Site) error {
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir, "first")
	reader, err := os.Open(path)
	if err != nil {
		return err
	}
	defer reader.Close()
	view, err := unix.Mmap(int(reader.Fd()), 0, page, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(view) }()
	_ = view[0] // it is faulted in
	if err := s.Measure(ctx, func() error { return writeAt(path, fresh(), 0) }); err != nil {
		return err
	}
	s.Forget(bench.Read)
	seen := make([]byte, page)
	if _, err := io.ReadFull(reader, seen); err != nil {
		return err
	}
	s.Outcome("read shows %s, its mapping %s", age(seen), age(view))
	return nil
}

func age(seen []byte) string {
	if bytes.Equal(seen, fresh()) {
		return "the new file"
	}
	return "the old file"
}
