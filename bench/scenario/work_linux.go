package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/bench"
)

// Work asks about the writes of builds and of services.
type Work struct{}

// Summary describes the scenario.
func (Work) Summary() bench.Summary {
	return bench.Summary{
		Name: "work", Question: "What do installing packages, extracting sources, logging and building images cost?",
		Text: `Package: files of 1 to 30 KiB are written under another name, synced and renamed, as dpkg
does, and its status file of 2 MiB, which came with the image, is written anew. Source:
a tree of small files is extracted and then synced once. Log: lines of 120 bytes are
appended to a log of the image, and synced once. Build: a step writes a large file, the
next one deletes it, each is committed as a layer; what is stored afterwards is what
the image goes on carrying. All that is lost is the reader's hope: every layered store
keeps it.`,
	}
}

// Ready needs no tool.
func (Work) Ready() error { return nil }

var (
	status = content{"status", 2 * mib}
	logged = content{"log", 8 * mib}
)

const (
	logLine  = 120
	logLines = 200
)

func (Work) files(s bench.Scale) int { return bench.Pick(s, 10, 30, 500) }
func (Work) source(s bench.Scale) tree {
	return tree{"source", bench.Pick(s, 100, 150, 5000), 6 * kib}
}
func (Work) artefact(s bench.Scale) content {
	return content{"build", bench.Pick[int64](s, mib, 16*mib, 200*mib)}
}

// Prepare makes an image with a package database and a log.
func (Work) Prepare(ctx context.Context, s *bench.Site) error {
	return s.Store.Commit(ctx, "base", "", func(dir string) error {
		return errors.Join(status.write(filepath.Join(dir, "status")), logged.write(filepath.Join(dir, "log")))
	})
}

// Cases are kinds of work.
func (x Work) Cases(scale bench.Scale) []bench.Case {
	in := func(name string, do func(s *bench.Site, dir string) error, check func(s *bench.Site, dir string) error) bench.Case {
		return bench.Case{Name: name, Run: func(ctx context.Context, s *bench.Site) error {
			c, err := s.Container(ctx, "base")
			if err != nil {
				return err
			}
			if err := s.Measure(ctx, func() error { return do(s, c.Dir) }); err != nil {
				return err
			}
			s.Forget(bench.Read)
			if s.Checking {
				return check(s, c.Dir)
			}
			return nil
		}}
	}
	return []bench.Case{
		in(fmt.Sprintf("install a package of %d files", x.files(scale)), x.install, x.installed),
		in(fmt.Sprintf("extract a source tree of %d files", x.source(scale).files),
			func(s *bench.Site, dir string) error { return errors.Join(x.source(s.Scale).write(dir), sync(dir)) },
			func(s *bench.Site, dir string) error { return x.source(s.Scale).check(dir) }),
		in(fmt.Sprintf("append %d lines to a log of %s", logLines, human(logged.size)), x.log, x.loggedAll),
		{Name: fmt.Sprintf("build: write %s, delete it in the next layer", human(x.artefact(scale).size)), Run: x.build},
	}
}

// install does what dpkg does for each file, and for its status file.
func (x Work) install(s *bench.Site, dir string) error {
	usr := filepath.Join(dir, "usr")
	if err := os.Mkdir(usr, 0o755); err != nil {
		return err
	}
	for i := range x.files(s.Scale) {
		if err := replace(filepath.Join(usr, fmt.Sprint(i)), content{fmt.Sprint("package", i), int64(1+i%30) * kib}); err != nil {
			return err
		}
	}
	return errors.Join(replace(filepath.Join(dir, "status"), content{"new status", status.size}), sync(dir))
}

// replace writes a file that is whole under its name, or not there.
func replace(path string, c content) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = copyInto(f, c)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (x Work) installed(s *bench.Site, dir string) error {
	for i := range x.files(s.Scale) {
		if err := (content{fmt.Sprint("package", i), int64(1+i%30) * kib}).check(filepath.Join(dir, "usr", fmt.Sprint(i))); err != nil {
			return err
		}
	}
	return content{"new status", status.size}.check(filepath.Join(dir, "status"))
}

func (Work) log(_ *bench.Site, dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	line := fresh()[:logLine]
	for range logLines {
		if _, err := f.Write(line); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

func (Work) loggedAll(_ *bench.Site, dir string) error {
	var all []byte
	for range logLines {
		all = append(all, fresh()[:logLine]...)
	}
	return logged.check(filepath.Join(dir, "log"), patch{logged.size, all})
}

// build commits two layers and takes them away again.
func (x Work) build(ctx context.Context, s *bench.Site) error {
	write := func() error {
		return s.Store.Commit(ctx, "step-1", "base", func(dir string) error {
			return x.artefact(s.Scale).write(filepath.Join(dir, "artefact"))
		})
	}
	remove := func() error {
		return s.Store.Commit(ctx, "step-2", "step-1", func(dir string) error { return os.Remove(filepath.Join(dir, "artefact")) })
	}
	err := s.Measure(ctx, func() error { return errors.Join(write(), remove()) })
	s.Forget(bench.Read)
	if err == nil && s.Checking {
		err = x.deleted(ctx, s)
	}
	return errors.Join(err, s.Store.Drop(ctx, "step-2"), s.Store.Drop(ctx, "step-1"))
}

// deleted looks into both steps.
func (x Work) deleted(ctx context.Context, s *bench.Site) error {
	for layer, there := range map[string]bool{"step-1": true, "step-2": false} {
		c, err := s.Container(ctx, layer)
		if err != nil {
			return err
		}
		path := filepath.Join(c.Dir, "artefact")
		if there {
			err = x.artefact(s.Scale).check(path)
		} else if _, statErr := os.Lstat(path); !errors.Is(statErr, os.ErrNotExist) {
			err = bench.Corrupt("the file that %s deleted is there", layer)
		}
		if err := errors.Join(err, s.Stop(ctx, c), s.Remove(ctx, c)); err != nil {
			return err
		}
	}
	return nil
}
