package bench_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/stats"
)

// Backends take turns, each begins as often as the others, and all that a sample made
// is gone before the next one.
func TestRunInterleaves(t *testing.T) {
	var log []string
	_, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a", log: &log}, {name: "b", log: &log}}, asks{name: "s", cases: []bench.Case{write(1)}}))
	require.NoError(t, err)
	var want []string
	for n := range 6 {
		first, second := "a", "b"
		if n%2 == 1 {
			first, second = second, first
		}
		want = append(want, first+" create", first+" remove", second+" create", second+" remove")
	}
	assert.Equal(t, append(want, "a close", "b close"), log)
}

func TestRunCountsAndJudges(t *testing.T) {
	r, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a"}, {name: "b"}}, asks{name: "s", cases: []bench.Case{write(4096)}}))
	require.NoError(t, err)
	c, ok := r.Cell("s", "write 4096", "b")
	require.True(t, ok)
	assert.Equal(t, []float64{4096, 4096, 4096, 4096, 4096}, c.Metrics["written"].Raw, "five rounds, the first one thrown away")
	assert.Equal(t, 4096.0, c.Metrics["stored"].Median)
	rows := r.Rows("s", bench.Written)
	require.Len(t, rows, 1)
	assert.Equal(t, stats.Same, rows[0].Verdict)
	assert.Empty(t, r.Failed())
}

// What a machine lacks is skipped with its reason; what goes wrong is that cell's.
func TestRunRecordsWhatGoesWrong(t *testing.T) {
	boom := bench.Case{Name: "boom", Run: func(_ context.Context, s *bench.Site) error {
		if s.Checking {
			return nil
		}
		return bench.Corrupt("a byte")
	}}
	cannot := bench.Case{Name: "cannot", Run: func(context.Context, *bench.Site) error { return bench.Unsupported("no such call") }}
	refuses := bench.Case{Name: "refuses", Run: func(ctx context.Context, s *bench.Site) error {
		return s.Measure(ctx, func() error { s.Refused("EXDEV"); return nil })
	}}
	r, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a"}, {name: "gone", ready: errors.New("gone is not installed")}},
		asks{name: "s", cases: []bench.Case{boom, cannot, refuses, write(1)}}, asks{name: "skipped", ready: errors.New("fio is not installed")}))
	require.NoError(t, err)
	require.Len(t, r.Cells, 4)
	assert.Equal(t, "wrong content: a byte", r.Cells[0].Error)
	assert.Equal(t, "not supported: no such call", r.Cells[1].Skipped)
	assert.Equal(t, "EXDEV", r.Cells[2].Outcome)
	assert.Empty(t, r.Cells[2].Metrics, "a refusal is no speed")
	assert.Empty(t, r.Cells[3].Error)
	assert.Len(t, r.Failed(), 1)
	assert.Equal(t, "gone is not installed", r.Backends[1].Skipped)
	assert.Equal(t, "fio is not installed", r.Scenarios[1].Skipped)
}

func TestRunNeedsABackend(t *testing.T) {
	_, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "gone", ready: errors.New("gone is not installed")}}, asks{name: "s"}))
	require.ErrorIs(t, err, bench.ErrNotReady)
	assert.ErrorContains(t, err, "gone is not installed")
}

// The next three tests are about time, and have a clock of their own: it goes on only
// while everybody waits.

// Who takes too long for a round is left out of the case, and of no other.
func TestRunHasALongestRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := bench.Case{Name: "slow", Run: func(ctx context.Context, _ *bench.Site) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		p := plan(t.TempDir(), []paper{{name: "a"}}, asks{name: "s", cases: []bench.Case{slow, write(1)}})
		p.Longest = 20 * time.Millisecond
		r, err := bench.Run(t.Context(), p)
		require.NoError(t, err)
		assert.Equal(t, "one round takes longer than 20ms", r.Cells[0].Skipped)
		assert.Empty(t, r.Cells[1].Skipped)
	})
}

// A case that is soon over has more rounds, as many as there is patience for.
func TestRunHasPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := bench.Case{Name: "long", Run: func(ctx context.Context, s *bench.Site) error {
			return s.Measure(ctx, func() error {
				<-time.After(8 * time.Second)
				return nil
			})
		}}
		p := plan(t.TempDir(), []paper{{name: "a"}}, asks{name: "s", cases: []bench.Case{write(1), long}})
		p.Patience = time.Minute
		r, err := bench.Run(t.Context(), p)
		require.NoError(t, err)
		assert.Len(t, r.Cells[0].Metrics["written"].Raw, bench.Thorough*p.Rounds)
		assert.Len(t, r.Cells[1].Metrics["time"].Raw, 7, "eight began within the minute, and the first is thrown away")
	})
}

// On a machine that is too slow, cases have fewer rounds, and at least one.
func TestRunKeepsToItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := bench.Case{Name: "slow", Run: func(ctx context.Context, s *bench.Site) error {
			return s.Measure(ctx, func() error {
				<-time.After(10 * time.Millisecond)
				return nil
			})
		}}
		slower := bench.Case{Name: "slower", Run: func(ctx context.Context, s *bench.Site) error {
			return s.Measure(ctx, func() error {
				<-time.After(time.Hour)
				return nil
			})
		}}
		p := plan(t.TempDir(), []paper{{name: "a"}}, asks{name: "s", cases: []bench.Case{slow, slow, slower}})
		p.Rounds, p.Budget = 1000, 300*time.Millisecond
		r, err := bench.Run(t.Context(), p)
		require.NoError(t, err)
		for _, c := range r.Cells[:2] {
			assert.InDelta(t, 10, len(c.Metrics["time"].Raw), 1, "a third of the budget, 10 ms each")
		}
		assert.Len(t, r.Cells[2].Metrics["time"].Raw, 1)
	})
}

// A backend that cannot be opened, or has no layers, takes no part and says why.
func TestRunGoesOnWithoutOne(t *testing.T) {
	r, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a"}, {name: "b", open: errors.New("no disk")}}, asks{name: "s", cases: []bench.Case{write(1)}}))
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, names(r.Cells))
	assert.Equal(t, "no disk", r.Cells[1].Error)
	assert.Empty(t, r.Cells[0].Error)
}

func TestRunEndsWithItsContext(t *testing.T) {
	var log []string
	ctx, cancel := context.WithCancel(t.Context())
	stop := bench.Case{Name: "stop", Run: func(ctx context.Context, s *bench.Site) error {
		if _, err := s.Container(ctx, "base"); err != nil {
			return err
		}
		cancel()
		return ctx.Err()
	}}
	r, err := bench.Run(ctx, plan(t.TempDir(), []paper{{name: "a", log: &log}}, asks{name: "s", cases: []bench.Case{stop}}))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"a create", "a remove", "a close"}, log, "nothing stays")
	assert.NotNil(t, r)
}

func TestResultIsReadAsItWasWritten(t *testing.T) {
	r, err := bench.Run(t.Context(), plan(t.TempDir(), []paper{{name: "a"}}, asks{name: "s", cases: []bench.Case{write(7)}}))
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, r.Write(&file))
	again, err := bench.ReadResult(&file)
	require.NoError(t, err)
	assert.Equal(t, r, again)
}

func TestReadResultRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":         "",
		"not JSON":      "BenchmarkFoo 1 2 ns/op",
		"cut":           `{"schema": "veneer.cowbench/1", "cells": [`,
		"another":       `{"name": "veneer"}`,
		"a later one":   `{"schema": "veneer.cowbench/99"}`,
		"no samples":    `{"schema": "veneer.cowbench/1", "cells": [{"metrics": {"time": {"samples": []}}}]}`,
		"no such thing": `{"schema": "veneer.cowbench/1", "cells": [{"metrics": {"joy": {"samples": [1]}}}]}`,
	} {
		_, err := bench.ReadResult(strings.NewReader(text))
		require.ErrorIs(t, err, bench.ErrFormat, name)
		assert.NotContains(t, err.Error(), "\n", name)
	}
}
