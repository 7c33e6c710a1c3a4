package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// row is a row of package resulttest.
type row struct {
	Kind       string
	Points     int
	Violations int
	Controls   int
	Caught     int
	Seed       uint64
	Duration   time.Duration
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(files []string, out io.Writer) error {
	var all []row
	for _, path := range files {
		rows, err := read(path)
		if err != nil {
			return err
		}
		all = append(all, rows...)
	}
	if len(all) == 0 {
		return errors.New("no test has told of a result")
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KIND OF FAULT\tPOINTS\tVIOLATIONS\tCONTROLS CAUGHT\tSEED\tDURATION")
	var sum row
	bad := 0
	for _, r := range all {
		controls := "-"
		if r.Controls > 0 {
			controls = fmt.Sprintf("%d of %d", r.Caught, r.Controls)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%s\n", r.Kind, r.Points, r.Violations, controls, r.Seed, r.Duration.Round(time.Second))
		sum.Points += r.Points
		sum.Violations += r.Violations
		sum.Controls += r.Controls
		sum.Caught += r.Caught
		sum.Duration += r.Duration
		if r.Violations > 0 || r.Caught < r.Controls || r.Points == 0 {
			bad++
		}
	}
	fmt.Fprintf(w, "in all\t%d\t%d\t%d of %d\t\t%s\n", sum.Points, sum.Violations, sum.Caught, sum.Controls, sum.Duration.Round(time.Second))
	if err := w.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d kinds of fault are not as they should be", bad)
	}
	return nil
}

func read(path string) (rows []row, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}
