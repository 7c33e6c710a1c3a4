package report

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/stats"
)

// ErrNothingCommon says that two results have no cell in common.
var ErrNothingCommon = errors.New("the two results have no case in common")

// A Change is one metric of one cell in two results.
type Change struct {
	Scenario, Case, Backend string
	Metric                  bench.Metric
	Old, New                bench.Samples
	stats.Comparison
}

// Changes compares what two results have in common, in the order of the old one.
func Changes(old, now *bench.Result) []Change {
	var all []Change
	for _, c := range old.Cells {
		d, ok := now.Cell(c.Scenario, c.Case, c.Backend)
		if !ok {
			continue
		}
		for _, m := range bench.Metrics {
			before, ok1 := c.Metrics[m.Name]
			after, ok2 := d.Metrics[m.Name]
			if ok1 && ok2 {
				all = append(all, Change{c.Scenario, c.Case, c.Backend, m, before, after, stats.Compare(before.Raw, after.Raw)})
			}
		}
	}
	return all
}

// Compare prints the changes between two results, and a summary.
func Compare(w io.Writer, old, now *bench.Result) error {
	changes := Changes(old, now)
	if len(changes) == 0 {
		return ErrNothingCommon
	}
	t := &table{w: w}
	t.machines(old, now)
	grid := [][]string{{"scenario", "case", "backend", "metric", "old", "new", "change", "p", ""}}
	counts := map[stats.Verdict]int{}
	for _, c := range changes {
		counts[c.Verdict]++
		change := "~"
		if c.Verdict == stats.Different {
			change = changed(c.Ratio)
		}
		grid = append(grid, []string{c.Scenario, c.Case, c.Backend, c.Metric.Name, value(c.Old, c.Metric.Unit), value(c.New, c.Metric.Unit), change, fmt.Sprintf("%.3f", c.P), sense(c)})
	}
	t.grid(grid)
	t.line("\n%d comparisons: %d different (p < %g, at least %g %%), %d without a difference, %d too noisy to tell",
		len(changes), counts[stats.Different], stats.Alpha, stats.Least*100, counts[stats.Same], counts[stats.Noisy])
	return t.err
}

// machines warns when two results are not of one machine.
func (t *table) machines(old, now *bench.Result) {
	a, b := old.Environment, now.Environment
	for _, d := range []struct{ what, old, now string }{
		{"kernels", a.Kernel, b.Kernel}, {"processors", a.CPU, b.CPU}, {"disks", a.Backing, b.Backing},
		{"virtual machines", a.Virtual, b.Virtual}, {"scales", string(old.Scale), string(now.Scale)},
	} {
		if d.old != d.now {
			t.line("the %s differ: %q and %q; so may the numbers, for that reason alone", d.what, d.old, d.now)
		}
	}
}

// changed prints a ratio as benchmarks are used to.
func changed(ratio float64) string {
	switch {
	case math.IsInf(ratio, 0) || math.IsNaN(ratio):
		return "∞"
	case ratio >= 2 || ratio <= 0.5:
		return times(ratio)
	}
	return fmt.Sprintf("%+.1f%%", (ratio-1)*100)
}

// sense says whether a change is for the better.
func sense(c Change) string {
	if c.Verdict != stats.Different {
		return string(c.Verdict)
	}
	if (c.Ratio > 1) == c.Metric.Higher {
		return "better"
	}
	return "worse"
}
