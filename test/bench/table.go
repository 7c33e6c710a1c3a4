package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	operation string
	floor     string // what it is
	floorTook string
	ours      string
	ratio     string
	target    string
	met       bool
	counts    string
	notes     []string
}

// against makes the row of an operation that may take limit times as long as its
// floor. A limit of 0 sets no target.
func against(operation, floor string, f, ours samples, limit float64) row {
	ratio := float64(ours.median()) / float64(f.median())
	r := row{
		operation: operation, floor: floor, floorTook: duration(f.median()), ours: duration(ours.median()),
		ratio: fmt.Sprintf("%.2f", ratio), met: true, counts: ours.tally.String(),
	}
	if limit > 0 {
		r.target, r.met = fmt.Sprintf("<= %.1f x", limit), ratio <= limit
	}
	return r
}

// within makes the row of an operation that may take so long.
func within(operation, floor string, f, ours, limit time.Duration) row {
	r := row{operation: operation, floor: floor, ours: duration(ours), target: "<= " + duration(limit), met: ours <= limit}
	if f > 0 {
		r.floorTook, r.ratio = duration(f), fmt.Sprintf("%.2f", float64(ours)/float64(f))
	}
	return r
}

func (r row) note(format string, args ...any) row {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
	return r
}

func (r row) verdict() string {
	switch {
	case r.target == "":
		return "-"
	case r.met:
		return "met"
	}
	return "MISSED"
}

func duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
}

// printTable prints all rows, their notes below them, and what was missed.
func printTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OPERATION\tFLOOR\tFLOOR MEDIAN\tOURS MEDIAN\tRATIO\tTARGET\tVERDICT\tOURS DOES")
	for _, r := range rows {
		cells := []string{r.operation, r.floor, r.floorTook, r.ours, r.ratio, r.target, r.verdict(), r.counts}
		for i, c := range cells {
			if c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, n := range r.notes {
			fmt.Fprintf(w, "  %s: %s\n", r.operation, n)
		}
	}
	return nil
}
