package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/veneerdm/veneer/bench"
)

// progress tells what a run is at: one line that changes on a terminal, a line for each
// scenario elsewhere.
type progress struct {
	w     io.Writer
	mode  string
	began time.Time
	last  string
}

func newProgress(w io.Writer, mode string) *progress {
	if mode == "auto" {
		mode = "plain"
		if isTerminal(w) {
			mode = "tty"
		}
	}
	return &progress{w: w, mode: mode, began: time.Now()}
}

func (p *progress) step(s bench.Progress) {
	took := time.Since(p.began).Round(time.Second)
	switch p.mode {
	case "tty":
		what := s.Case
		if what == "" {
			what = "making layers"
		}
		fmt.Fprintf(p.w, "\r\x1b[K[%d/%d] %s, %d/%d: %s (%s)", s.Index, s.Of, s.Scenario, min(s.Done+1, s.Total), s.Total, what, took)
	case "plain":
		if p.last != s.Scenario {
			fmt.Fprintf(p.w, "cowbench: [%d/%d] %s, %d cases (%s)\n", s.Index, s.Of, s.Scenario, s.Total, took)
		}
		p.last = s.Scenario
	}
}

func (p *progress) end() {
	if p.mode == "tty" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// isTerminal tells whether colours and moving lines are welcome.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}
