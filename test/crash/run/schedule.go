package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/veneerdm/veneer/test/crash/table"
	"github.com/veneerdm/veneer/test/resulttest"
)

// An outcome is what came of a job.
type outcome struct {
	job
	rows []resulttest.Row
	err  error // nil when all is as it should be
	took time.Duration
}

// A schedule runs jobs.
type schedule struct {
	results string // folder of logs and rows
	atOnce  int
	grace   time.Duration // for a job to end after it was asked to
	command func(job) *exec.Cmd
	say     func(format string, args ...any)
}

var (
	errHung   = errors.New("it ran longer than its limit and was ended")
	errNoRow  = errors.New("it printed no row of results")
	errNoTry  = errors.New("a kind of fault was tried at 0 points")
	errResult = errors.New("the results are not as they should be")
)

// run runs the jobs, so many at once, in their order, and gives their outcomes in that
// order. When ctx ends, the jobs under way are ended and the others are not begun: their
// error is the cause.
func (s *schedule) run(ctx context.Context, jobs []job) []outcome {
	outcomes := make([]outcome, len(jobs))
	next := make(chan int, len(jobs))
	for i := range jobs {
		next <- i
	}
	close(next)
	var workers sync.WaitGroup
	for range s.atOnce {
		workers.Go(func() {
			for i := range next {
				outcomes[i] = s.one(ctx, jobs[i])
			}
		})
	}
	workers.Wait()
	return outcomes
}

func (s *schedule) one(ctx context.Context, j job) outcome {
	o := outcome{job: j}
	if o.err = context.Cause(ctx); o.err != nil {
		return o
	}
	s.say("%s: started", j.name)
	began := time.Now()
	o.err = s.start(ctx, j)
	o.took = time.Since(began)
	rows, err := table.Read(s.rows(j))
	o.rows = rows
	o.err = errors.Join(o.err, err)
	if o.err == nil {
		o.err = judge(rows)
	}
	points := 0
	for _, r := range rows {
		points += r.Points
	}
	end := "ended well"
	switch {
	case ctx.Err() != nil:
		end = "stopped"
	case o.err != nil:
		end = "FAILED"
	}
	s.say("%s: %s after %s, %d points", j.name, end, o.took.Round(time.Second), points)
	return o
}

// start runs a job's process to its end.
func (s *schedule) start(ctx context.Context, j job) (err error) {
	log, err := os.Create(s.log(j))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	limited, cancel := context.WithTimeoutCause(ctx, j.limit, fmt.Errorf("%w: %s", errHung, j.limit))
	defer cancel()
	cmd := s.command(j)
	cmd.Env = append(cmd.Environ(), resulttest.Variable+"="+s.rows(j))
	return runProcess(limited, cmd, log, s.grace)
}

func (s *schedule) log(j job) string  { return filepath.Join(s.results, j.name+".log") }
func (s *schedule) rows(j job) string { return filepath.Join(s.results, j.name+".rows") }

// judge is about a job whose tests passed.
func judge(rows []resulttest.Row) error {
	if len(rows) == 0 {
		return errNoRow
	}
	for _, r := range rows {
		switch {
		case r.Points == 0:
			return fmt.Errorf("%w: %s", errNoTry, r.Kind)
		case !table.Good(r):
			return fmt.Errorf("%w: %s", errResult, r.Kind)
		}
	}
	return nil
}

// report prints the table, and for each job that failed why, and the end of its log.
// The error says that a job failed.
func (s *schedule) report(out io.Writer, outcomes []outcome) error {
	if err := s.reportRows(out, outcomes); err != nil {
		return err
	}
	failed := 0
	for _, o := range outcomes {
		if o.err == nil {
			continue
		}
		failed++
		fmt.Fprintf(out, "\n%s: %v\n", o.name, o.err)
		if err := printTail(out, s.log(o.job)); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d jobs failed", failed, len(outcomes))
	}
	return nil
}

// reportRows prints the table alone.
func (s *schedule) reportRows(out io.Writer, outcomes []outcome) error {
	var rows []resulttest.Row
	for _, o := range outcomes {
		rows = append(rows, o.rows...)
	}
	return table.Print(out, rows)
}
