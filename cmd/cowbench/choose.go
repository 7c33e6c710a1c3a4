package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/backend"
	"github.com/veneerdm/veneer/bench/scenario"
)

// alias is what a backend may be called in a run: it names folders and devices.
var alias = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// chosenBackends reads --backends: names, or name=backend to call one differently.
// named says that the user did, so that each of them must be able to run.
func chosenBackends(words []string) (entries []bench.Entry, named bool, err error) {
	named = true
	switch {
	case len(words) == 0:
		words, named = backend.Usual, false
	case len(words) == 1 && words[0] == "all":
		words, named = nil, false
		for _, b := range backend.All() {
			words = append(words, b.About().Name)
		}
	}
	for _, word := range words {
		name, of, renamed := strings.Cut(word, "=")
		if !renamed {
			of = name
		}
		b, err := backend.Find(of)
		if err != nil {
			return nil, named, usageError{err}
		}
		if !alias.MatchString(name) {
			return nil, named, usage("--backends: %q cannot be a backend's name here; take lower-case letters, digits and dashes", name)
		}
		if slices.ContainsFunc(entries, func(e bench.Entry) bool { return e.Name == name }) {
			return nil, named, usage("--backends has %s twice; to measure one twice, say first=%s,second=%s", name, of, of)
		}
		entries = append(entries, bench.Entry{Name: name, Backend: b})
	}
	return entries, named, nil
}

// ready gives the first reason why one of the backends cannot run here.
func ready(entries []bench.Entry) error {
	for _, e := range entries {
		if err := e.Backend.Ready(); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

// chosenScenarios reads --scenarios. Those that were named must be able to run.
func chosenScenarios(words []string) ([]bench.Scenario, error) {
	if len(words) == 0 || len(words) == 1 && words[0] == "all" {
		return scenario.All(), nil
	}
	var chosen []bench.Scenario
	for _, word := range words {
		s, err := scenario.Find(word)
		if err != nil {
			return nil, usageError{err}
		}
		if err := s.Ready(); err != nil {
			return nil, err
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}
