package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/stats"
)

// TableOptions say how a table looks.
type TableOptions struct {
	Color bool
	// All shows every metric; otherwise those that scenarios are about.
	All bool
}

// essential are the metrics that a short table shows; others appear where they are all
// that there is.
var essential = map[string]bool{
	"time": true, "rate": true, "throughput": true, "written": true, "returned": true, "accepted": true, "memory": true, "setup": true,
}

// Table prints a result for a terminal.
func Table(w io.Writer, r *bench.Result, o TableOptions) error {
	t := &table{w: w, options: o}
	for _, s := range r.Scenarios {
		t.scenario(r, s)
	}
	t.environment(r)
	return t.err
}

type table struct {
	w       io.Writer
	options TableOptions
	err     error
}

func (t *table) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

// paint wraps a text in an SGR sequence, where colours are wanted.
func (t *table) paint(code, text string) string {
	if !t.options.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *table) scenario(r *bench.Result, s bench.Asked) {
	t.line("%s  %s", t.paint("1", s.Name), s.Question)
	if s.Skipped != "" {
		t.line("  not measured: %s\n", s.Skipped)
		return
	}
	for _, m := range r.MetricsOf(s.Name) {
		if t.options.All || essential[m.Name] {
			t.metric(r, s, m)
		}
	}
	t.outcomes(r, s)
	for _, text := range answer(r, s) {
		t.line("  %s", text)
	}
	t.line("")
}

func (t *table) metric(r *bench.Result, s bench.Asked, m bench.Metric) {
	rows := r.Rows(s.Name, m)
	if len(rows) == 0 {
		return
	}
	names := takingPart(rows)
	grid := [][]string{append(append([]string{m.Title}, names...), "verdict")}
	for _, row := range rows {
		line := []string{row.Case}
		for _, name := range names {
			line = append(line, cellText(row, name))
		}
		grid = append(grid, append(line, Verdict(row)))
	}
	t.grid(grid)
}

// grid prints columns, the first one to the left and numbers to the right.
func (t *table) grid(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	last := len(widths) - 1
	for n, row := range rows {
		var line strings.Builder
		line.WriteString("  ")
		for i, c := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			switch i {
			case 0:
				line.WriteString(c + gap)
			case last:
				line.WriteString("  " + c)
			default:
				line.WriteString("  " + gap + c)
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = t.paint("2", text)
		}
		t.line("%s", text)
	}
}

// outcomes prints what applications saw, where it was not plain success.
func (t *table) outcomes(r *bench.Result, s bench.Asked) {
	for _, o := range outcomesOf(r, s) {
		t.line("  %s, %s: %s", o.Case, o.Backends, o.Text)
	}
}

func (t *table) environment(r *bench.Result) {
	e := r.Environment
	where := ""
	if e.Virtual != "" {
		where = ", in a virtual machine (" + e.Virtual + ")"
	}
	t.line("%s, %d CPU, %s, %s%s", e.Kernel, e.CPUs, quantity(float64(e.Memory), "B"), e.CPU, where)
	t.line("disks: %s, %s each; medians of %d rounds in turn with 95 %% intervals; took %s", e.Backing, quantity(float64(e.DiskSize), "B"), r.Rounds, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	for _, b := range r.Backends {
		if b.Skipped != "" {
			t.line("%s was not measured: %s", b.Name, b.Skipped)
		}
	}
	if e.Calibration.Noise > bench.Loud {
		t.line("%s", t.paint("33", fmt.Sprintf("the machine was busy: the same arithmetic took up to %.0f %% longer at times; trust no small difference", e.Calibration.Noise*100)))
	}
}

// takingPart are the backends of some rows, in their order.
func takingPart(rows []bench.Row) (names []string) {
	for _, row := range rows {
		for _, c := range row.Cells {
			if !slices.Contains(names, c.Backend) {
				names = append(names, c.Backend)
			}
		}
	}
	return names
}

func cellText(row bench.Row, backend string) string {
	for _, c := range row.Cells {
		if c.Backend != backend {
			continue
		}
		s, ok := c.Metrics[row.Metric.Name]
		switch {
		case c.Error != "":
			return "FAILED"
		case c.Skipped != "":
			return "no"
		case ok:
			return value(s, row.Metric.Unit)
		}
	}
	return "-"
}

// Verdict says in words who is best in a row, if the samples allow it.
func Verdict(row bench.Row) string {
	better := "less"
	switch {
	case row.Metric.Unit == "s":
		better = "faster"
	case row.Metric.Higher:
		better = "more"
	}
	switch row.Verdict {
	case "":
		return ""
	case stats.Noisy, stats.Few, stats.Same:
		if worse := behind(row); len(worse) > 0 {
			return string(row.Verdict) + "; not " + strings.Join(worse, ", ")
		}
		return string(row.Verdict)
	}
	who := strings.Join(row.Best, ", ")
	if row.Factor == 0 {
		return who
	}
	return who + " " + times(row.Factor) + " " + better
}

// behind are those of a row that are told apart from the best.
func behind(row bench.Row) (names []string) {
	for _, c := range row.Cells {
		if _, ok := c.Metrics[row.Metric.Name]; ok && !slices.Contains(row.Best, c.Backend) {
			names = append(names, c.Backend)
		}
	}
	return names
}
