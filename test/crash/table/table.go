package table

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/veneerdm/veneer/test/resulttest"
)

// Read gives the rows of a file that a test appended them to. A file that is not there
// has none. Rows before a line that makes no sense are given too.
func Read(path string) (rows []resulttest.Row, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r resulttest.Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return rows, fmt.Errorf("%s: %w", path, err)
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}

// Good says whether a kind of fault was tried, nothing was violated, and every negative
// control was caught.
func Good(r resulttest.Row) bool {
	return r.Points > 0 && r.Violations == 0 && r.Caught >= r.Controls
}

// Print prints the table, with the sums of all rows as its last line.
func Print(out io.Writer, rows []resulttest.Row) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KIND OF FAULT\tPOINTS\tVIOLATIONS\tCONTROLS CAUGHT\tSEED\tDURATION")
	var sum resulttest.Row
	for _, r := range rows {
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
	}
	fmt.Fprintf(w, "in all\t%d\t%d\t%d of %d\t\t%s\n", sum.Points, sum.Violations, sum.Caught, sum.Controls, sum.Duration.Round(time.Second))
	return w.Flush()
}
