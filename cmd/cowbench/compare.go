package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/report"
)

func (a *app) compareCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compare OLD NEW", Short: "Compare two results, with significance", Args: args(2, 2, "two files that \"run --json\" has written"),
		RunE: func(_ *cobra.Command, given []string) error {
			old, err := readResult(given[0])
			if err != nil {
				return err
			}
			now, err := readResult(given[1])
			if err != nil {
				return err
			}
			return report.Compare(a.stdout, old, now)
		},
	}
}

func (a *app) reportCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "report RESULT...", Short: "Make one HTML page of a result", Args: args(1, 100, "files that \"run --json\" has written"),
		Long: `Make one HTML page of a result. It needs nothing but itself: no network, no other
file. Several results, of one machine and the same backends but different scenarios,
become one page.`,
		RunE: func(_ *cobra.Command, given []string) error {
			var parts []*bench.Result
			for _, path := range given {
				r, err := readResult(path)
				if err != nil {
					return err
				}
				parts = append(parts, r)
			}
			r, err := bench.Join(parts...)
			if err != nil {
				return err
			}
			if out == "" || out == "-" {
				return report.Page(a.stdout, r)
			}
			return writeFile(out, func(w io.Writer) error { return report.Page(w, r) })
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "file to write (default standard output)")
	return c
}

func readResult(path string) (*bench.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.ReadResult(f)
	if errors.Is(err, bench.ErrFormat) {
		return nil, fmt.Errorf("%s is %w; \"cowbench run --json FILE\" writes one", path, err)
	}
	return r, err
}
