package bench

import "context"

// A Scenario asks one question of every backend.
type Scenario interface {
	// Summary describes the scenario. It costs nothing and never changes.
	Summary() Summary
	// Ready says in one sentence which tool this machine lacks; nil when none.
	Ready() error
	// Prepare makes the layers that the cases need. It runs once for each backend, on
	// a store of its own.
	Prepare(ctx context.Context, s *Site) error
	// Cases are what is measured, in the order in which they are shown.
	Cases(scale Scale) []Case
}

// Summary is what a reader wants to know of a scenario.
type Summary struct {
	Name     string `json:"name"`               // as in --scenarios
	Question string `json:"question"`           // one line that ends in a question mark
	Text     string `json:"text"`               // paragraphs: what is done, what the numbers mean, what to beware of
	Axis     string `json:"axis"`               // what X of a case counts, "" when cases are a list
	Unit     string `json:"unit"`               // of X: B, or "" for plain numbers
	DiskSize uint64 `json:"diskSize,omitempty"` // bytes each store gets, 0 for the plan's own
	Rounds   int    `json:"rounds,omitempty"`   // at most, 0 for the plan's own
}

// A Case is one row: what is done, once for each backend and round.
type Case struct {
	Name   string
	Series string  // cases of one series are one line of a plot
	X      float64 // place on the axis, 0 when there is none
	// Run does it once, in a fresh container of its own, and measures with s.
	Run func(ctx context.Context, s *Site) error
}

// Scale says how much work a scenario makes of its cases.
type Scale string

// The scales: tiny is for tests, quick is a few minutes in a virtual machine, full
// runs unattended.
const (
	Tiny  Scale = "tiny"
	Quick Scale = "quick"
	Full  Scale = "full"
)

// Pick gives what a scale asks for.
func Pick[T any](s Scale, tiny, quick, full T) T {
	switch s {
	case Tiny:
		return tiny
	case Full:
		return full
	}
	return quick
}
