package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/backend"
	"github.com/veneerdm/veneer/bench/scenario"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List backends and scenarios, and what this machine lacks for them", Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "BACKEND\tHERE\tWHAT")
			for _, b := range backend.All() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", b.About().Name, here(b.Ready()), b.About().Text)
			}
			fmt.Fprintln(w, "\t\t\nSCENARIO\tHERE\tQUESTION")
			for _, s := range scenario.All() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Summary().Name, here(s.Ready()), s.Summary().Question)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			a.lacking()
			return nil
		},
	}
}

func here(err error) string {
	if err != nil {
		return "no"
	}
	return "yes"
}

// lacking prints why what is not here is not.
func (a *app) lacking() {
	first := true
	say := func(name string, err error) {
		if err == nil {
			return
		}
		if first {
			fmt.Fprintln(a.stdout)
		}
		first = false
		fmt.Fprintf(a.stdout, "%s: %v\n", name, err)
	}
	for _, b := range backend.All() {
		say(b.About().Name, b.Ready())
	}
	for _, s := range scenario.All() {
		say(s.Summary().Name, s.Ready())
	}
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain SCENARIO", Short: "Say what a scenario does and what its numbers mean", Args: args(1, 1, "the name of a scenario"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, s := range scenario.All() {
				names = append(names, s.Summary().Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, given []string) error {
			s, err := scenario.Find(given[0])
			if err != nil {
				return usageError{err}
			}
			sum := s.Summary()
			fmt.Fprintf(a.stdout, "%s\n%s\n\n%s\n\n", sum.Name, sum.Question, sum.Text)
			for _, scale := range []bench.Scale{bench.Quick, bench.Full} {
				var names []string
				for _, c := range s.Cases(scale) {
					names = append(names, c.Name)
				}
				fmt.Fprintf(a.stdout, "--%s: %s\n", scale, strings.Join(names, "; "))
			}
			if err := s.Ready(); err != nil {
				fmt.Fprintf(a.stdout, "\nNot here: %v\n", err)
			}
			return nil
		},
	}
}
