package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/docker/go-units"
)

// listing is what a command prints: rows for people, values for programs.
type listing[T any] struct {
	header []string
	row    func(T) []string
	name   func(T) string // for -q
}

// show prints values as --format and -q say.
func show[T any](a *app, l listing[T], values []T) error {
	switch {
	case a.quiet:
		for _, v := range values {
			fmt.Fprintln(a.stdout, l.name(v))
		}
		return nil
	case a.format == "json":
		if values == nil {
			values = []T{}
		}
		return printJSON(a.stdout, values)
	case a.format != "table":
		return printTemplate(a, values)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(l.header, "\t"))
	for _, v := range values {
		fmt.Fprintln(w, strings.Join(l.row(v), "\t"))
	}
	return w.Flush()
}

// pair is one line of a description.
type pair struct {
	name  string
	value any
}

// describe prints one thing as "Name: value" lines, JSON or a template.
func describe(a *app, v any, lines []pair) error {
	switch a.format {
	case "json":
		return printJSON(a.stdout, v)
	case "table":
		for _, l := range lines {
			fmt.Fprintf(a.stdout, "%s: %v\n", l.name, l.value)
		}
		return nil
	}
	return printTemplate(a, []any{v})
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// parseFormat reads what --format says, unless it is one of the names of formats.
func parseFormat(format string) (*template.Template, error) {
	t, err := template.New("format").Funcs(template.FuncMap{
		"json": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
	}).Parse(format)
	if err != nil {
		return nil, usage("--format %q is neither table nor json nor a template: %w", format, err)
	}
	return t, nil
}

func printTemplate[T any](a *app, values []T) error {
	t, err := parseFormat(a.format)
	if err != nil {
		return err
	}
	for _, v := range values {
		if err := t.Execute(a.stdout, v); err != nil {
			return usage("--format: %w", err)
		}
		fmt.Fprintln(a.stdout)
	}
	return nil
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return units.HumanDuration(time.Since(t)) + " ago"
}

func short(id string) string {
	_, hex, found := strings.Cut(id, ":")
	if !found {
		hex = id
	}
	return hex[:min(12, len(hex))]
}
