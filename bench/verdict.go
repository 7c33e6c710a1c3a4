package bench

import (
	"slices"
	"sort"

	"github.com/veneerdm/veneer/bench/stats"
)

// A Row is one metric of one case, side by side.
type Row struct {
	Scenario, Case, Series string
	X                      float64
	Metric                 Metric
	Cells                  []Cell // one for each of the result's backends that took part
	Best                   []string
	Factor                 float64 // by which the best is better than the next that differs; 0 without a winner
	Verdict                stats.Verdict
}

// Rows are a scenario's cases, as measured by one metric. Cases that nobody has the
// metric of are left out.
func (r *Result) Rows(scenario string, m Metric) []Row {
	var rows []Row
	for _, c := range r.Cells {
		if c.Scenario != scenario {
			continue
		}
		i := slices.IndexFunc(rows, func(row Row) bool { return row.Case == c.Case })
		if i < 0 {
			i = len(rows)
			rows = append(rows, Row{Scenario: scenario, Case: c.Case, Series: c.Series, X: c.X, Metric: m})
		}
		rows[i].Cells = append(rows[i].Cells, c)
	}
	rows = slices.DeleteFunc(rows, func(row Row) bool {
		return !slices.ContainsFunc(row.Cells, func(c Cell) bool { _, ok := c.Metrics[m.Name]; return ok })
	})
	for i := range rows {
		rows[i].judge()
	}
	return rows
}

// MetricsOf are the metrics that a scenario's cells have, in the order of Metrics.
func (r *Result) MetricsOf(scenario string) []Metric {
	has := map[string]bool{}
	for _, c := range r.Cells {
		for name := range c.Metrics {
			has[name] = has[name] || c.Scenario == scenario
		}
	}
	return slices.DeleteFunc(slices.Clone(Metrics), func(m Metric) bool { return !has[m.Name] })
}

// judge finds who is best, if anybody is. Those that the samples cannot tell from the
// best are best with it; when their samples scatter, nobody is.
func (row *Row) judge() {
	type entry struct {
		name    string
		samples Samples
	}
	var entries []entry
	for _, c := range row.Cells {
		if s, ok := c.Metrics[row.Metric.Name]; ok {
			entries = append(entries, entry{c.Backend, s})
		}
	}
	if len(entries) < 2 {
		return
	}
	sort.SliceStable(entries, func(i, j int) bool {
		if row.Metric.Higher {
			return entries[i].samples.Median > entries[j].samples.Median
		}
		return entries[i].samples.Median < entries[j].samples.Median
	})
	best := entries[0]
	row.Best, row.Verdict = []string{best.name}, stats.Different
	for _, e := range entries[1:] {
		c := stats.Compare(best.samples.Raw, e.samples.Raw)
		if c.Verdict == stats.Different {
			if row.Factor == 0 {
				row.Factor = c.Ratio
			}
			continue
		}
		row.Best = append(row.Best, e.name)
		if c.Verdict != stats.Same && row.Verdict != stats.Few {
			row.Verdict = c.Verdict
		}
	}
	if row.Metric.Higher && row.Factor > 0 {
		row.Factor = 1 / row.Factor
	}
	open := row.Verdict == stats.Noisy || row.Verdict == stats.Few
	if !open && len(row.Best) == len(entries) {
		row.Verdict, row.Factor = stats.Same, 0
	}
	if open || best.samples.Median == 0 {
		row.Factor = 0
	}
}
