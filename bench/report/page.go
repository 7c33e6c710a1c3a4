package report

import (
	_ "embed" // the page's template and style
	"fmt"
	"html/template"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/veneerdm/veneer/bench"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// page is what the template is given.
type page struct {
	Result      *bench.Result
	Style       template.CSS
	Title       string
	When, Took  string
	Warnings    []string
	Sections    []section
	Backends    []backendLine
	Environment []pair
	Command     string
}

type pair struct{ Name, Value string }

type backendLine struct {
	bench.Side
	Color int
}

// section is one scenario.
type section struct {
	bench.Asked
	Answer     []string
	Paragraphs []string
	Figures    []figure
	Tables     []tableData
	Outcomes   []outcome
}

type tableData struct {
	Title string
	Head  []string
	Rows  []tableRow
}

type tableRow struct {
	Case    string
	Cells   []tableCell
	Verdict string
}

type tableCell struct {
	Text string
	Best bool
}

type outcome struct{ Case, Backends, Text string }

// Page writes a result as one HTML page. It refers to nothing outside itself.
func Page(w io.Writer, r *bench.Result) error {
	p := page{
		Result: r, Style: template.CSS(pageCSS), Title: "Copy-on-write, measured", //nolint:gosec // it is our own file
		When: r.Began.Format("2 January 2006, 15:04 UTC"), Took: (time.Duration(r.Seconds) * time.Second).String(),
		Command: strings.ReplaceAll(strings.Join(r.Command, " "), " && ", "\n"),
	}
	colors := map[string]int{}
	for i, b := range r.Backends {
		colors[b.Name] = i % palette
		p.Backends = append(p.Backends, backendLine{b, colors[b.Name]})
	}
	for _, s := range r.Scenarios {
		p.Sections = append(p.Sections, newSection(r, s, colors))
	}
	p.warn(r)
	p.describe(r)
	return pageTemplate.Execute(w, p)
}

// palette is how many colours and marks the style has.
const palette = 10

func newSection(r *bench.Result, s bench.Asked, colors map[string]int) section {
	out := section{Asked: s, Answer: answer(r, s), Paragraphs: strings.Split(s.Text, "\n\n")}
	for _, m := range r.MetricsOf(s.Name) {
		rows := r.Rows(s.Name, m)
		out.Tables = append(out.Tables, newTable(m, rows))
		loose, series := bySeries(rows, s.Axis != "")
		for i, group := range series {
			if low, high := extent(group); high < low {
				continue // all zeros
			}
			out.Figures = append(out.Figures, curve(fmt.Sprintf("%s-%s-%d", s.Name, m.Name, i), s, group[0].Series, m, group, colors))
		}
		if low, high := extent(loose); len(loose) > 0 && low <= high {
			out.Figures = append(out.Figures, strips(s.Name+"-"+m.Name, m, loose, colors))
		}
	}
	out.Outcomes = outcomesOf(r, s)
	return out
}

// bySeries separates rows that lie on an axis, by series, from those that do not.
func bySeries(rows []bench.Row, axis bool) (loose []bench.Row, series [][]bench.Row) {
	index := map[string]int{}
	for _, row := range rows {
		if !axis || row.X == 0 {
			loose = append(loose, row)
			continue
		}
		i, ok := index[row.Series]
		if !ok {
			i = len(series)
			index[row.Series] = i
			series = append(series, nil)
		}
		series[i] = append(series[i], row)
	}
	kept := series[:0]
	for _, group := range series {
		if len(group) < 2 {
			loose = append(loose, group...)
			continue
		}
		sort.SliceStable(group, func(i, j int) bool { return group[i].X < group[j].X })
		kept = append(kept, group)
	}
	return loose, kept
}

func newTable(m bench.Metric, rows []bench.Row) tableData {
	names := takingPart(rows)
	t := tableData{Title: upper(m.Title), Head: names}
	for _, row := range rows {
		line := tableRow{Case: row.Case, Verdict: Verdict(row)}
		for _, name := range names {
			best := false
			for _, b := range row.Best {
				best = best || b == name && row.Factor > 0
			}
			line.Cells = append(line.Cells, tableCell{cellText(row, name), best})
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// outcomesOf gathers what applications saw, those together that saw the same.
func outcomesOf(r *bench.Result, s bench.Asked) (all []outcome) {
	for _, c := range r.Cells {
		if c.Scenario != s.Name {
			continue
		}
		text := c.Outcome
		switch {
		case c.Error != "":
			text = "went wrong: " + c.Error
		case c.Skipped != "":
			text = "skipped: " + c.Skipped
		}
		if text == "" {
			continue
		}
		merged := false
		for i := range all {
			if all[i].Case == c.Case && all[i].Text == text {
				all[i].Backends += ", " + c.Backend
				merged = true
			}
		}
		if !merged {
			all = append(all, outcome{c.Case, c.Backend, text})
		}
	}
	return all
}

// warn says what a reader has to know before any number.
func (p *page) warn(r *bench.Result) {
	e := r.Environment
	if e.Virtual != "" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("Measured in a virtual machine (%s). It makes system calls dear and disks almost as fast as the host's: compare backends with each other, not with other machines.", e.Virtual))
	}
	if e.Calibration.Noise > bench.Loud {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The machine was busy: the same arithmetic took up to %.0f %% longer at times. Trust no small difference.", e.Calibration.Noise*100))
	}
	if failed := r.Failed(); len(failed) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d of %d cells went wrong; they are listed with their scenario.", len(failed), len(r.Cells)))
	}
}

func (p *page) describe(r *bench.Result) {
	e := r.Environment
	p.Environment = []pair{
		{"Kernel", e.Kernel}, {"Processor", fmt.Sprintf("%s, %d in use", e.CPU, e.CPUs)}, {"Memory", quantity(float64(e.Memory), "B")}, {"System", e.System},
		{"Stores", fmt.Sprintf("%s, %s each", e.Backing, quantity(float64(e.DiskSize), "B"))},
		{"Rounds", fmt.Sprintf("%d at least, in turn, after one that was thrown away (%s)", r.Rounds, r.Scale)},
		{"Same arithmetic, before and after", quantity(e.Calibration.Before.Median, "s") + " and " + quantity(e.Calibration.After.Median, "s")},
	}
	if e.Virtual != "" {
		p.Environment = append(p.Environment, pair{"Virtual machine", e.Virtual})
	}
	var names []string
	for name := range e.Versions {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p.Environment = append(p.Environment, pair{name, e.Versions[name]})
	}
}
