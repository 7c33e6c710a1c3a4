package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/veneerdm/veneer/bench/stats"
)

// Schema names the format of a result. A change that breaks readers counts it up.
const Schema = "veneer.cowbench/1"

// Result is all that a run has to say. Its JSON is the format of files.
type Result struct {
	Schema      string      `json:"schema"`
	Version     string      `json:"version"` // of the program
	Began       time.Time   `json:"began"`
	Seconds     float64     `json:"seconds"`
	Command     []string    `json:"command"`
	Scale       Scale       `json:"scale"`
	Rounds      int         `json:"rounds"`
	Environment Environment `json:"environment"`
	Backends    []Side      `json:"backends"`
	Scenarios   []Asked     `json:"scenarios"`
	Cells       []Cell      `json:"cells"`
}

// A Side is a backend under the name that it has in this run.
type Side struct {
	Name string `json:"name"`
	About
	Skipped string `json:"skipped,omitempty"` // why it was not measured
}

// MarshalJSON keeps the side's name apart from the backend's.
func (s Side) MarshalJSON() ([]byte, error) {
	return json.Marshal(sideJSON{s.Name, s.About, s.Skipped})
}

// UnmarshalJSON is the opposite of MarshalJSON.
func (s *Side) UnmarshalJSON(data []byte) error {
	var j sideJSON
	err := json.Unmarshal(data, &j)
	*s = Side{j.Name, j.Backend, j.Skipped}
	return err
}

type sideJSON struct {
	Name    string `json:"name"`
	Backend About  `json:"backend"`
	Skipped string `json:"skipped,omitempty"`
}

// Asked is a scenario that was in the plan.
type Asked struct {
	Summary
	Seconds float64 `json:"seconds"`
	Skipped string  `json:"skipped,omitempty"` // why it was not measured
}

// A Cell is one case of one scenario on one backend.
type Cell struct {
	Scenario string             `json:"scenario"`
	Case     string             `json:"case"`
	Series   string             `json:"series,omitempty"`
	X        float64            `json:"x,omitempty"`
	Backend  string             `json:"backend"`
	Metrics  map[string]Samples `json:"metrics,omitempty"`
	Outcome  string             `json:"outcome,omitempty"` // what an application saw
	Skipped  string             `json:"skipped,omitempty"` // the backend cannot do it
	Error    string             `json:"error,omitempty"`   // the backend went wrong
}

// Samples are the raw numbers of one metric, in the order they were taken, and what
// follows from them.
type Samples struct {
	Raw    []float64 `json:"samples"`
	Median float64   `json:"median"`
	Low    float64   `json:"low"` // of the interval, see stats.Confidence
	High   float64   `json:"high"`
}

// Summarise computes what follows from raw samples.
func Summarise(raw []float64) Samples {
	low, high := stats.Interval(raw)
	return Samples{Raw: raw, Median: stats.Median(raw), Low: low, High: high}
}

// Failed lists the cells that went wrong.
func (r *Result) Failed() (failed []Cell) {
	for _, c := range r.Cells {
		if c.Error != "" {
			failed = append(failed, c)
		}
	}
	return failed
}

// Cell finds one cell.
func (r *Result) Cell(scenario, name, backend string) (Cell, bool) {
	for _, c := range r.Cells {
		if c.Scenario == scenario && c.Case == name && c.Backend == backend {
			return c, true
		}
	}
	return Cell{}, false
}

// Write writes the result as indented JSON.
func (r *Result) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// ReadResult reads what Write has written. The error wraps ErrFormat when the data is
// anything else.
func ReadResult(r io.Reader) (*Result, error) {
	var result Result
	if err := json.NewDecoder(r).Decode(&result); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it is empty", ErrFormat)
		}
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case result.Schema == "":
		return nil, fmt.Errorf("%w: it has no schema", ErrFormat)
	case result.Schema != Schema:
		return nil, fmt.Errorf("%w that this version reads: its schema is %q, and %q is read", ErrFormat, result.Schema, Schema)
	}
	for _, c := range result.Cells {
		for name, s := range c.Metrics {
			if _, ok := MetricOf(name); !ok || len(s.Raw) == 0 {
				return nil, fmt.Errorf("%w: metric %q of %s, %s on %s makes no sense", ErrFormat, name, c.Scenario, c.Case, c.Backend)
			}
		}
	}
	return &result, nil
}
