package report_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/veneerdm/veneer/bench"
)

// around makes n samples that scatter about a value by a part of it.
func around(value, scatter float64, n int, seed uint64) bench.Samples {
	random := rand.New(rand.NewPCG(seed, 1))
	raw := make([]float64, n)
	for i := range raw {
		raw[i] = value * (1 + scatter*(random.Float64()-0.5))
	}
	return bench.Summarise(raw)
}

// made is a result as a run would give it: a curve, a list, a refusal, a skip.
func made(seed uint64) *bench.Result {
	r := &bench.Result{
		Schema: bench.Schema, Version: "test", Began: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Seconds: 90,
		Command: []string{"cowbench", "run", "--quick"}, Scale: bench.Quick, Rounds: 8,
		Environment: bench.Environment{
			Kernel: "Linux 6.1.0", CPU: "a processor", CPUs: 2, Memory: 2 << 30, System: "a system", Virtual: "uml",
			Backing: "sparse files on ext4", DiskSize: 4 << 30, Versions: map[string]string{"fio": "fio-3.33"},
			Calibration: bench.Calibration{Before: around(0.01, 0.02, 10, 1), After: around(0.01, 0.02, 10, 2), Noise: 0.5},
		},
		Backends: []bench.Side{
			{Name: "thin", About: bench.About{Name: "thin", Text: "block snapshots", Kind: bench.KindBlock, Filesystem: "ext4", Options: "block size 64KiB"}},
			{Name: "overlay", About: bench.About{Name: "overlay", Text: "copies files up", Kind: bench.KindFile, Filesystem: "ext4"}},
			{Name: "zfs", About: bench.About{Name: "zfs", Text: "clones", Kind: bench.KindExtent}, Skipped: "zpool is not installed: install the package zfsutils-linux"},
		},
		Scenarios: []bench.Asked{
			{Summary: bench.Summary{Name: "first-write", Question: "What does the first write cost?", Text: "One.\n\nTwo <b>&</b>.", Axis: "size of the file", Unit: "B"}},
			{Summary: bench.Summary{Name: "changes", Question: "Which changes copy?", Text: "Three."}},
			{Summary: bench.Summary{Name: "fio", Question: "How fast?", Text: "Four."}, Skipped: "fio is not installed: install the package fio"},
		},
	}
	for i, size := range []float64{4096, 65536, 1 << 20, 16 << 20} {
		for _, b := range []struct {
			name    string
			time    float64
			written float64
		}{{"thin", 0.001, 120 << 10}, {"overlay", 0.0008 + size*1e-9, size + 80<<10}} {
			seed++
			r.Cells = append(r.Cells, bench.Cell{
				Scenario: "first-write", Case: []string{"4 KiB", "64 KiB", "1 MiB", "16 MiB"}[i], X: size, Backend: b.name,
				Metrics: map[string]bench.Samples{
					"time": around(b.time, 0.1, 8, seed), "written": around(b.written, 0, 8, seed), "stored": around(0, 0, 8, seed),
				},
			})
		}
	}
	for i, name := range []string{"chmod", "rename <of> a directory"} {
		for _, b := range []string{"thin", "overlay"} {
			seed++
			c := bench.Cell{Scenario: "changes", Case: name, Backend: b, Metrics: map[string]bench.Samples{"time": around(0.002*float64(i+1), 0.5, 8, seed)}}
			if i == 1 && b == "overlay" {
				c.Metrics, c.Outcome = nil, "EXDEV"
			}
			r.Cells = append(r.Cells, c)
		}
	}
	r.Cells = append(r.Cells, bench.Cell{Scenario: "changes", Case: "setxattr", Backend: "thin", Error: "it broke"},
		bench.Cell{Scenario: "changes", Case: "setxattr", Backend: "overlay", Skipped: fmt.Sprint(bench.Unsupported("no attributes"))})
	return r
}
