package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
)

// entry is a line of the list of equivalent mutants: fields with a tab between them.
// It names a mutant by its text, so that it outlasts changes above it.
type entry struct {
	line                                       int // in the list
	file, function, original, mutated, because string
}

func readEquivalent(name string) ([]entry, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseEquivalent(string(data))
}

func parseEquivalent(text string) ([]entry, error) {
	var all []entry
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 5 || fields[4] == "" {
			return nil, fmt.Errorf("line %d of the list of equivalent mutants does not have the five fields file, function, original, mutant and reason", number)
		}
		all = append(all, entry{number, fields[0], fields[1], fields[2], fields[3], fields[4]})
	}
	return all, nil
}

// names tells whether the entry is about a mutant of the package in the folder dir.
func (e entry) names(dir string, m mutation) bool {
	return e.file == path.Join(dir, m.File) && e.function == m.Function && e.original == m.Original && e.mutated == m.Mutated
}

// verifyEntries is about the entries of the package in the folder dir: each names
// mutants that were tried, and none of them was killed.
func verifyEntries(dir string, entries []entry, trials []trial) error {
	var errs []error
	for _, e := range entries {
		survived, other := 0, ""
		for _, t := range trials {
			switch {
			case !e.names(dir, t.Mutation):
			case t.Verdict == lived:
				survived++
			default:
				other = t.Verdict
			}
		}
		switch {
		case other != "":
			errs = append(errs, fmt.Errorf("line %d of the list of equivalent mutants: the mutant does not survive: %s", e.line, other))
		case survived == 0:
			errs = append(errs, fmt.Errorf("line %d of the list of equivalent mutants: there is no such mutant", e.line))
		}
	}
	return errors.Join(errs...)
}
