package resulttest

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Row is one kind of fault.
type Row struct {
	Kind       string        `json:"kind"`
	Points     int           `json:"points"`
	Violations int           `json:"violations"`
	Controls   int           `json:"controls"` // negative controls that were run
	Caught     int           `json:"caught"`   // of them
	Seed       uint64        `json:"seed"`
	Duration   time.Duration `json:"duration"`
}

// Variable names the file that rows are appended to.
const Variable = "VENEER_RESULTS"

// Begin starts the clock of a row. The function that it gives ends it.
func Begin(tb testing.TB, kind string, seed uint64) (row *Row, end func()) {
	tb.Helper()
	row = &Row{Kind: kind, Seed: seed}
	began := time.Now()
	return row, func() {
		tb.Helper()
		row.Duration = time.Since(began)
		if tb.Failed() && row.Violations == 0 {
			row.Violations = 1
		}
		tb.Logf("%s: %d points, %d violations, %d of %d negative controls caught, seed %d", row.Kind, row.Points, row.Violations, row.Caught, row.Controls, row.Seed)
		path := os.Getenv(Variable)
		if path == "" {
			return
		}
		line, err := json.Marshal(row)
		assert.NoError(tb, err)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if !assert.NoError(tb, err) {
			return
		}
		_, err = f.Write(append(line, '\n'))
		assert.NoError(tb, err)
		assert.NoError(tb, f.Close())
	}
}
