package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// samples are the times of one side.
type samples []time.Duration

// median is the middle of the times, or the mean of the two in the middle.
func (s samples) median() time.Duration {
	t := slices.Sorted(slices.Values(s))
	n := len(t)
	if n == 0 {
		return 0
	}
	return (t[(n-1)/2] + t[n/2]) / 2
}

// row is one line of the table. A limit is how much of the other side's time ours
// may take; 0 sets no target.
type row struct {
	operation                    string
	took                         [sideCount]samples
	programs                     [sideCount]string // executed, if counted
	devmapperLimit, overlayLimit float64
}

// ratio is ours divided by another side's time, 0 when that was not measured.
func (r row) ratio(other int) float64 {
	if m := r.took[other].median(); m > 0 {
		return float64(r.took[ours].median()) / float64(m)
	}
	return 0
}

func (r row) met() bool {
	return (r.devmapperLimit == 0 || r.ratio(devmapperSide) <= r.devmapperLimit) &&
		(r.overlayLimit == 0 || r.ratio(overlaySide) <= r.overlayLimit)
}

func (r row) target() string {
	switch {
	case r.devmapperLimit > 0:
		return fmt.Sprintf("%.0f x faster than devmapper", 1/r.devmapperLimit)
	case r.overlayLimit > 0:
		return fmt.Sprintf("%.1f x overlayfs", r.overlayLimit)
	}
	return ""
}

func (r row) verdict() string {
	switch {
	case r.target() == "":
		return ""
	case r.met():
		return "met"
	}
	return "MISSED"
}

// table is all that was measured.
type table struct {
	rows  []row
	notes []string
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) met() bool {
	return !slices.ContainsFunc(t.rows, func(r row) bool { return !r.met() })
}

func duration(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
}

// print prints all rows as a table of Markdown that reads well in a terminal too,
// and the notes below it.
func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells ...string) {
		for i, c := range cells {
			if c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, "| "+strings.Join(cells, "\t| ")+"\t|")
	}
	line("OPERATION", "N", "VENEER", "DEVMAPPER", "OVERLAYFS", "FASTER THAN DEVMAPPER", "TIMES OVERLAYFS", "TARGET", "VERDICT", "PROGRAMS V/D/O")
	line(slices.Repeat([]string{"---"}, 10)...)
	for _, r := range t.rows {
		cells := []string{r.operation, fmt.Sprint(len(r.took[ours]))}
		for _, s := range r.took {
			cells = append(cells, duration(s.median()))
		}
		cells = append(cells, number(inverse(r.ratio(devmapperSide)), "%.1f x"), number(r.ratio(overlaySide), "%.2f x"), r.target(), r.verdict())
		programs := ""
		if r.programs[ours] != "" {
			programs = strings.Join(r.programs[:], " / ")
		}
		line(append(cells, programs)...)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, n := range t.notes {
		fmt.Fprintln(w, "- "+n)
	}
	return nil
}

func inverse(x float64) float64 {
	if x == 0 {
		return 0
	}
	return 1 / x
}

func number(x float64, format string) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf(format, x)
}
