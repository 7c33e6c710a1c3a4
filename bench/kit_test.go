package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/veneerdm/veneer/bench"
)

// paper is a backend without a disk: containers are folders, and every write is
// counted by the disk it pretends to have.
type paper struct {
	name  string
	ready error
	open  error
	log   *[]string
}

func (p paper) About() bench.About { return bench.About{Name: p.name, Kind: bench.KindCopy} }
func (p paper) Ready() error       { return p.ready }

func (p paper) Open(_ context.Context, d bench.Disk, dir string) (bench.Store, error) {
	return &paperStore{paper: p, dir: dir, disk: d.(*paperDisk)}, p.open
}

type paperDisk struct{ io bench.IO }

func (*paperDisk) Size() uint64 { return 1 << 30 }
func (*paperDisk) Part(context.Context, string, uint64) (string, error) {
	return "", errors.New("paper has no parts")
}
func (d *paperDisk) Count() (bench.IO, error)    { return d.io, nil }
func (d *paperDisk) Close(context.Context) error { return nil }

type paperStore struct {
	paper
	dir  string
	disk *paperDisk
}

func (s *paperStore) note(format string, args ...any) {
	if s.log != nil {
		*s.log = append(*s.log, s.name+" "+fmt.Sprintf(format, args...))
	}
}

func (s *paperStore) Commit(_ context.Context, layer, _ string, fill func(dir string) error) error {
	dir := filepath.Join(s.dir, layer)
	return errors.Join(os.Mkdir(dir, 0o755), fill(dir))
}
func (s *paperStore) Drop(context.Context, string) error { return nil }
func (s *paperStore) Create(_ context.Context, container, _ string) error {
	s.note("create")
	return os.Mkdir(filepath.Join(s.dir, container), 0o755)
}
func (s *paperStore) Mount(_ context.Context, container string) (string, error) {
	return filepath.Join(s.dir, container), nil
}
func (s *paperStore) Unmount(context.Context, string) error { return nil }
func (s *paperStore) Remove(_ context.Context, container string) error {
	s.note("remove")
	return os.RemoveAll(filepath.Join(s.dir, container))
}
func (s *paperStore) Settle(context.Context) error { return nil }
func (s *paperStore) Stored(context.Context) (bench.Space, error) {
	return bench.Space{Used: s.disk.io.WrittenBytes, Size: 1 << 30}, nil
}
func (s *paperStore) Close(context.Context) error { s.note("close"); return nil }

// asks is a scenario of the cases it is given.
type asks struct {
	name    string
	ready   error
	prepare error
	cases   []bench.Case
}

func (a asks) Summary() bench.Summary                     { return bench.Summary{Name: a.name, Question: "What?"} }
func (a asks) Ready() error                               { return a.ready }
func (a asks) Prepare(context.Context, *bench.Site) error { return a.prepare }
func (a asks) Cases(bench.Scale) []bench.Case             { return a.cases }

// write is a case that writes so many bytes to the pretended disk.
func write(n uint64) bench.Case {
	return bench.Case{Name: fmt.Sprintf("write %d", n), Run: func(ctx context.Context, s *bench.Site) error {
		if _, err := s.Container(ctx, "base"); err != nil {
			return err
		}
		return s.Measure(ctx, func() error {
			s.Disk.(*paperDisk).io.WrittenBytes += n
			return nil
		})
	}}
}

func plan(dir string, backends []paper, scenarios ...bench.Scenario) bench.Plan {
	p := bench.Plan{
		Scenarios: scenarios, Scale: bench.Tiny, Rounds: 5, DiskSize: 1 << 30, Dir: dir,
		Disk:        func(context.Context, string, uint64) (bench.Disk, error) { return &paperDisk{}, nil },
		Environment: func() bench.Environment { return bench.Environment{Kernel: "none"} },
	}
	for _, b := range backends {
		p.Backends = append(p.Backends, bench.Entry{Name: b.name, Backend: b})
	}
	return p
}

func names(cells []bench.Cell) (all []string) {
	for _, c := range cells {
		all = append(all, c.Backend)
	}
	slices.Sort(all)
	return all
}
