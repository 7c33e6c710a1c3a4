package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/tool"
)

// Fio asks how fast a container reads and writes a file of the image.
type Fio struct{}

// Summary describes the scenario.
func (Fio) Summary() bench.Summary {
	return bench.Summary{
		Name: "fio", Question: "How fast does a container read and write a large file of the image, before and after the first copy?",
		Text: `fio works on a file of a lower layer, in a fresh container: random 4 KiB and sequential
1 MiB, through the page cache, with an fsync at the end of writes. "First" writes pay
for the copies; before "again" the whole file was written once, so nothing is left to
copy. Cold cases begin with the caches dropped.

The first random writes are where block snapshots pay most: each touches another block
of 64 KiB and copies it. overlayfs pays once, at the open, and then writes to a plain
file. At full scale the engines psync, libaio and io_uring are told apart; the latter
two keep 16 requests in flight on a file opened with O_DIRECT.`,
	}
}

// Ready looks for fio.
func (Fio) Ready() error { return tool.Fio.Installed() }

func (Fio) content(s bench.Scale) content {
	return content{"fio", bench.Pick[int64](s, 4*mib, 16*mib, 256*mib)}
}

// job is one kind of work for fio.
type job struct {
	name   string
	rw     string
	block  string
	amount int64 // bytes, 0 for the whole file
	cold   bool
	again  bool // everything was copied before
	engine string
}

func (j job) writes() bool { return j.rw == "randwrite" || j.rw == "write" }

func (Fio) jobs(s bench.Scale) []job {
	some := bench.Pick[int64](s, mib, 2*mib, 32*mib)
	jobs := []job{
		{name: "random write, first", rw: "randwrite", block: "4k", amount: some, engine: "psync"},
	}
	if s != bench.Full {
		return jobs // a start of fio takes longer than its work
	}
	jobs = nil
	for _, engine := range []string{"psync", "libaio", "io_uring"} {
		for _, j := range []job{
			{name: "random read, cold", rw: "randread", block: "4k", amount: some, cold: true},
			{name: "random read, warm", rw: "randread", block: "4k", amount: some},
			{name: "random read, cold, after the copy", rw: "randread", block: "4k", amount: some, cold: true, again: true},
			{name: "random write, first", rw: "randwrite", block: "4k", amount: some},
			{name: "random write, again", rw: "randwrite", block: "4k", amount: some, again: true},
			{name: "sequential read, cold", rw: "read", block: "1m", cold: true},
			{name: "sequential read, warm", rw: "read", block: "1m"},
			{name: "sequential write, first", rw: "write", block: "1m"},
			{name: "sequential write, again", rw: "write", block: "1m", again: true},
		} {
			if engine != "psync" && strings.HasSuffix(j.name, "warm") {
				continue // O_DIRECT passes the cache by
			}
			j.engine, j.name = engine, j.name+" ("+engine+")"
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// Prepare makes the file.
func (x Fio) Prepare(ctx context.Context, s *bench.Site) error {
	return s.Store.Commit(ctx, "base", "", func(dir string) error {
		return x.content(s.Scale).write(filepath.Join(dir, "file"))
	})
}

// Cases are kinds of work.
func (x Fio) Cases(scale bench.Scale) []bench.Case {
	var cases []bench.Case
	for _, j := range x.jobs(scale) {
		cases = append(cases, bench.Case{Name: j.name, Run: func(ctx context.Context, s *bench.Site) error { return x.measure(ctx, s, j) }})
	}
	return cases
}

func (x Fio) measure(ctx context.Context, s *bench.Site, j job) error {
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	path, was := filepath.Join(c.Dir, "file"), x.content(s.Scale)
	if j.again {
		err = rewrite(path, was)
	} else if !j.cold {
		err = warm(path)
	}
	if err != nil {
		return err
	}
	if j.cold {
		if err := s.Chill(ctx); err != nil {
			return err
		}
	}
	var out fioOutput
	if err := s.Measure(ctx, func() (err error) { out, err = j.run(ctx, path); return err }); err != nil {
		return err
	}
	s.Forget(bench.Time) // it has the start of fio in it
	side := out.Read
	if j.writes() {
		side = out.Write
		s.Forget(bench.Read)
	} else {
		s.Forget(bench.Written, bench.Stored)
	}
	if j.amount > 0 {
		s.Record(bench.Rate, side.IOPS)
		s.Record(bench.Percentile, side.Latency.Percentile["99.000000"]/1e9)
	} else {
		s.Record(bench.Throughput, side.Bandwidth)
	}
	if !s.Checking {
		return nil
	}
	if j.writes() { // then the image is what it was
		if c, err = s.Container(ctx, "base"); err != nil {
			return err
		}
	}
	return was.check(filepath.Join(c.Dir, "file"))
}

// rewrite writes all of a file with what it has, so that all of it is copied.
func rewrite(path string, was content) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = copyInto(f, was)
	return errors.Join(err, f.Sync(), f.Close())
}

// fioOutput is what is read of fio's JSON.
type fioOutput struct{ Read, Write fioSide }

type fioSide struct {
	IOPS      float64 `json:"iops"`
	Bandwidth float64 `json:"bw_bytes"`
	Latency   struct {
		Percentile map[string]float64 `json:"percentile"` // ns
	} `json:"clat_ns"`
}

// run runs fio. Its result goes to a file: with some engines it prints notes first.
func (j job) run(ctx context.Context, path string) (side fioOutput, err error) {
	result, err := os.CreateTemp("", "cowbench-fio-")
	if err != nil {
		return side, err
	}
	defer func() { err = errors.Join(err, result.Close(), os.Remove(result.Name())) }()
	args := []string{
		"--name=cowbench", "--filename=" + path, "--rw=" + j.rw, "--bs=" + j.block, "--ioengine=" + j.engine, "--thread",
		"--invalidate=0", "--fallocate=none", "--randrepeat=1", "--randseed=20", "--allow_file_create=0", "--overwrite=1", "--group_reporting",
		"--output=" + result.Name(), "--output-format=json", "--eta=never", "--max-jobs=1",
	}
	if j.amount > 0 {
		args = append(args, fmt.Sprintf("--io_size=%d", j.amount))
	}
	if j.writes() {
		args = append(args, "--end_fsync=1")
	}
	if j.engine != "psync" {
		args = append(args, "--iodepth=16", "--direct=1")
	}
	if _, err := tool.Fio.Run(ctx, args...); err != nil {
		return side, err
	}
	var out struct{ Jobs []fioOutput }
	if err := json.NewDecoder(result).Decode(&out); err != nil || len(out.Jobs) != 1 {
		return side, errors.Join(fmt.Errorf("fio's result has %d jobs, and one is expected", len(out.Jobs)), err)
	}
	return out.Jobs[0], nil
}
