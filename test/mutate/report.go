package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// found is a mutant in gremlins' report.
type found struct {
	file         string
	line, column int
	status       string
}

func readFound(name string) ([]found, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var report struct {
		Files []struct {
			Name      string `json:"file_name"`
			Mutations []struct {
				Line, Column int
				Status       string
			}
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("gremlins' report: %w", err)
	}
	var all []found
	for _, f := range report.Files {
		for _, m := range f.Mutations {
			all = append(all, found{f.Name, m.Line, m.Column, m.Status})
		}
	}
	return all, nil
}

// report is the outcome of a run.
type report struct {
	dir        string
	counts     map[string]int // by verdict
	equivalent int
	notCovered int
	survivors  []trial // without the equivalent ones
	uncovered  func(mutation) bool
	list       error // what is wrong with the list of equivalent mutants
}

func newReport(dir string, j job, mutants []found, entries []entry) (*report, error) {
	trials, err := readTrials(j.Log)
	if err != nil {
		return nil, err
	}
	if err := agree(mutants, trials); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(j.Profile)
	if err != nil {
		return nil, err
	}
	r := &report{dir: dir, counts: map[string]int{}, uncovered: parseProfile(data), list: verifyEntries(dir, entries, trials)}
	for _, t := range trials {
		r.counts[t.Verdict]++
		switch {
		case t.Verdict != lived:
		case slices.ContainsFunc(entries, func(e entry) bool { return e.names(dir, t.Mutation) }):
			r.equivalent++
		default:
			r.survivors = append(r.survivors, t)
			if r.uncovered(t.Mutation) {
				r.notCovered++
			}
		}
	}
	slices.SortFunc(r.survivors, func(a, b trial) int {
		return cmp.Or(cmp.Compare(a.Mutation.File, b.Mutation.File), cmp.Compare(a.Mutation.Line, b.Mutation.Line), cmp.Compare(a.Mutation.Column, b.Mutation.Column))
	})
	return r, nil
}

func readTrials(name string) ([]trial, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []trial
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var t trial
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if t.Verdict == broken {
			return nil, fmt.Errorf("a mutant could not be tried: %s", t.Detail)
		}
		all = append(all, t)
	}
}

// agree compares the trials with gremlins' own account. A difference means that one
// of them is wrong about what was run.
func agree(mutants []found, trials []trial) error {
	status := map[string]string{lived: "LIVED", killed: "KILLED", timedOut: "KILLED", notViable: "NOT VIABLE"}
	key := func(file string, line, column int, status string) string {
		return fmt.Sprintf("%s:%d:%d %s", file, line, column, status)
	}
	balance := map[string]int{}
	for _, m := range mutants {
		balance[key(m.file, m.line, m.column, m.status)]++
	}
	unchanged := 0 // their place is not known
	for _, t := range trials {
		m := t.Mutation
		if m.Line == 0 {
			unchanged++
			continue
		}
		balance[key(m.File, m.Line, m.Column, status[t.Verdict])]--
	}
	for mutant, n := range balance {
		if n > 0 && strings.HasSuffix(mutant, status[notViable]) {
			unchanged -= n
		} else if n != 0 {
			return fmt.Errorf("gremlins and the trials do not agree on %s", mutant)
		}
	}
	if unchanged != 0 {
		return errors.New("gremlins and the trials do not agree on mutants that change nothing")
	}
	return nil
}

// parseProfile gives a function that tells whether a mutant is in a block that no
// test reached. What is in no block, as a package's constants, is not.
func parseProfile(data []byte) func(mutation) bool {
	type block struct {
		file                                 string
		startLine, startColumn, line, column int
	}
	var unreached []block
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		colon := bytes.LastIndexByte(lines.Bytes(), ':')
		if colon < 0 {
			continue
		}
		b := block{file: path.Base(string(lines.Bytes()[:colon]))}
		var statements, count int
		_, err := fmt.Sscanf(string(lines.Bytes()[colon+1:]), "%d.%d,%d.%d %d %d", &b.startLine, &b.startColumn, &b.line, &b.column, &statements, &count)
		if err == nil && count == 0 {
			unreached = append(unreached, b)
		}
	}
	return func(m mutation) bool {
		return slices.ContainsFunc(unreached, func(b block) bool {
			after := m.Line > b.startLine || m.Line == b.startLine && m.Column >= b.startColumn
			before := m.Line < b.line || m.Line == b.line && m.Column < b.column
			return b.file == m.File && after && before
		})
	}
}

// efficacy is the percentage of the mutants that are killed, of those that can be.
func (r *report) efficacy() float64 {
	dead := r.counts[killed] + r.counts[timedOut]
	if dead+len(r.survivors) == 0 {
		return 0
	}
	return 100 * float64(dead) / float64(dead+len(r.survivors))
}

// print writes the report. It is an error when fewer than the least percentage of
// the mutants were killed or the list of equivalent ones is wrong.
func (r *report) print(w io.Writer, least float64) error {
	total := 0
	for _, n := range r.counts {
		total += n
	}
	fmt.Fprintf(w, "\n%s: %d mutants\n", r.dir, total)
	for _, row := range []struct {
		n    int
		what string
	}{
		{r.counts[notViable], "not viable: they do not compile"},
		{r.counts[killed], "killed by a test"},
		{r.counts[timedOut], "timed out, twice: counted as killed"},
		{len(r.survivors) - r.notCovered, "lived"},
		{r.notCovered, "not covered: counted as lived"},
		{r.equivalent, "equivalent to the original, as listed: not counted"},
	} {
		fmt.Fprintf(w, "%6d %s\n", row.n, row.what)
	}
	fmt.Fprintf(w, "efficacy: %.2f %% of %d, and at least %g %% are wanted\n", r.efficacy(),
		r.counts[killed]+r.counts[timedOut]+len(r.survivors), least)
	for _, t := range r.survivors {
		m := t.Mutation
		what := "lived"
		if r.uncovered(m) {
			what = "not covered"
		}
		fmt.Fprintf(w, "%s:%d:%d: %s %s\n\t- %s\n\t+ %s\n", path.Join(r.dir, m.File), m.Line, m.Column, m.Function, what, m.Original, m.Mutated)
	}
	if r.list != nil {
		return r.list
	}
	if r.efficacy() < least {
		return fmt.Errorf("%d of the mutants of %s survived: %.2f %% were killed, of which at least %g are wanted", len(r.survivors), r.dir, r.efficacy(), least)
	}
	return nil
}
