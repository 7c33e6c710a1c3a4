package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Plan is what to run.
type Plan struct {
	Version   string
	Command   []string
	Backends  []Entry
	Scenarios []Scenario
	Scale     Scale
	Rounds    int // measured, after the one that is thrown away
	// Patience lets a case that is over sooner have up to Thorough times the rounds.
	// It depends on time alone, never on what was measured.
	Patience time.Duration
	// Budget is what the whole run should take. On a machine that is too slow for it,
	// cases have fewer rounds, down to one. 0 is no limit.
	Budget time.Duration
	// Longest is what one round of a case may take on one backend; whoever takes longer
	// is left out of the case. 0 is no limit.
	Longest  time.Duration
	DiskSize uint64 // bytes of each store
	// Disk makes the disk of a backend.
	Disk func(ctx context.Context, name string, size uint64) (Disk, error)
	Dir  string // empty folder for mounts
	// Progress is told what happens; nil for nobody.
	Progress func(Progress)
	// Environment describes the machine; nil for this one.
	Environment func() Environment
}

// An Entry is a backend under a name; the same one may be there twice.
type Entry struct {
	Name    string
	Backend Backend
}

// Progress is one step of a run.
type Progress struct {
	Scenario    string
	Case        string // "" while layers are made
	Done, Total int    // cases of the scenario
	Index, Of   int    // scenarios of the run
}

// Thorough is how many times its rounds a quick case may have.
const Thorough = 4

// goneGrace bounds the cleaning up that follows an interrupt.
const goneGrace = 2 * time.Minute

// Run puts the plan's scenarios to its backends. What a machine lacks is recorded as
// skipped, what goes wrong in one cell as that cell's error; see Result.Failed. The
// error is about the run as a whole, and then the result holds what there was until
// then. Whatever happens, stores and disks are taken away.
func Run(ctx context.Context, p Plan) (*Result, error) {
	if p.Environment == nil {
		p.Environment = Machine
	}
	r := &Result{
		Schema: Schema, Version: p.Version, Began: time.Now().UTC().Truncate(time.Second), Command: p.Command,
		Scale: p.Scale, Rounds: p.Rounds, Environment: p.Environment(),
	}
	defer func() {
		r.Seconds = time.Since(r.Began).Seconds()
		r.Environment.Calibration = r.Environment.Calibration.end()
	}()
	r.Environment.Calibration = calibrate()
	var ready []Entry
	for _, e := range p.Backends {
		side := Side{Name: e.Name, About: e.Backend.About()}
		if err := e.Backend.Ready(); err != nil {
			side.Skipped = err.Error()
		} else {
			ready = append(ready, e)
		}
		r.Backends = append(r.Backends, side)
	}
	if len(ready) == 0 {
		return r, fmt.Errorf("%w: none of the backends can run on this machine: %s", ErrNotReady, r.Backends[0].Skipped)
	}
	started := time.Now()
	for i, s := range p.Scenarios {
		asked := Asked{Summary: s.Summary()}
		if err := s.Ready(); err != nil {
			asked.Skipped = err.Error()
			r.Scenarios = append(r.Scenarios, asked)
			continue
		}
		began := time.Now()
		run := &round{plan: p, scenario: s, result: r, at: Progress{Scenario: asked.Name, Index: i + 1, Of: len(p.Scenarios)}}
		if p.Budget > 0 {
			run.until = began.Add((p.Budget - began.Sub(started)) / time.Duration(len(p.Scenarios)-i))
		}
		err := run.all(ctx, ready)
		asked.Seconds = time.Since(began).Seconds()
		r.Scenarios = append(r.Scenarios, asked)
		if err != nil {
			return r, fmt.Errorf("%s: %w", asked.Name, err)
		}
	}
	return r, nil
}

// round is one scenario of a run.
type round struct {
	plan     Plan
	scenario Scenario
	result   *Result
	at       Progress
	until    time.Time // when it should be over; zero for whenever
}

// party is a backend that takes part in a scenario.
type party struct {
	name string
	site *Site
	dead string // why it takes no part any more
}

func (r *round) all(ctx context.Context, entries []Entry) (err error) {
	cases := r.scenario.Cases(r.plan.Scale)
	r.at.Total = len(cases)
	r.tell()
	var parties []*party
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goneGrace)
		defer cancel()
		for _, p := range parties {
			err = errors.Join(err, p.close(ctx))
		}
	}()
	for _, e := range entries {
		p, err := r.open(ctx, e)
		parties = append(parties, p)
		if err == nil {
			err = r.scenario.Prepare(ctx, p.site)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			p.dead = sentence(err)
		}
	}
	for i, c := range cases {
		r.at.Case, r.at.Done = c.Name, i
		r.tell()
		if err := r.measure(ctx, c, parties); err != nil {
			return err
		}
	}
	r.at.Case, r.at.Done = "", len(cases)
	r.tell()
	return nil
}

func (r *round) tell() {
	if r.plan.Progress != nil {
		r.plan.Progress(r.at)
	}
}

func (r *round) open(ctx context.Context, e Entry) (*party, error) {
	p := &party{name: e.Name, site: &Site{Scale: r.plan.Scale}}
	size := r.plan.DiskSize
	if own := r.scenario.Summary().DiskSize; own > 0 {
		size = own
	}
	var err error
	if p.site.Disk, err = r.plan.Disk(ctx, e.Name, size); err != nil {
		return p, err
	}
	dir := filepath.Join(r.plan.Dir, e.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, err
	}
	p.site.Store, err = e.Backend.Open(ctx, p.site.Disk, dir)
	return p, err
}

func (p *party) close(ctx context.Context) error {
	var errs []error
	if p.site.Store != nil {
		errs = append(errs, p.site.Store.Close(ctx))
	}
	if p.site.Disk != nil {
		errs = append(errs, p.site.Disk.Close(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take %s away: %w", p.name, err)
	}
	return nil
}

// measure runs a case in turn on all parties.
func (r *round) measure(ctx context.Context, c Case, parties []*party) error {
	cells := make([]Cell, len(parties))
	raw := make([]map[string][]float64, len(parties))
	for i, p := range parties {
		cells[i] = Cell{Scenario: r.at.Scenario, Case: c.Name, Series: c.Series, X: c.X, Backend: p.name, Error: p.dead}
		raw[i] = map[string][]float64{}
	}
	another := r.rounds()
	for n := 0; another(n); n++ {
		for j := range parties {
			i := (n + j) % len(parties)
			if cells[i].Error != "" || cells[i].Skipped != "" {
				continue
			}
			if err := r.once(ctx, c, parties[i], &cells[i], n == 0); err != nil {
				return err
			}
			if n == 0 {
				continue // it filled caches
			}
			for name, value := range parties[i].site.sample {
				raw[i][name] = append(raw[i][name], value)
			}
		}
	}
	for i := range cells {
		if cells[i].Error == "" && cells[i].Skipped == "" {
			cells[i].Metrics = map[string]Samples{}
			for name, values := range raw[i] {
				cells[i].Metrics[name] = Summarise(values)
			}
		}
		r.result.Cells = append(r.result.Cells, cells[i])
	}
	return nil
}

// rounds says of each round of a case, from 0, whether it takes place. The first fills
// caches, and the second always does.
func (r *round) rounds() func(n int) bool {
	least := r.plan.Rounds
	most := Thorough * least
	if own := r.scenario.Summary().Rounds; own > 0 {
		least, most = min(own, least), min(own, least)
	}
	began, end := time.Now(), time.Time{}
	if !r.until.IsZero() {
		end = began.Add(time.Until(r.until) / time.Duration(max(1, r.at.Total-r.at.Done)))
	}
	return func(n int) bool {
		if n > 1 && !end.IsZero() && time.Now().After(end) {
			return false
		}
		return n <= least || n <= most && time.Since(began) < r.plan.Patience
	}
}

// once takes one sample. The error is the end of the run.
func (r *round) once(ctx context.Context, c Case, p *party, cell *Cell, checking bool) error {
	p.site.begin(checking)
	limited, cancel := ctx, func() {}
	if r.plan.Longest > 0 {
		limited, cancel = context.WithTimeout(ctx, r.plan.Longest)
	}
	err := c.Run(limited, p.site)
	late := limited.Err() != nil
	cancel()
	cleaned := p.site.end(context.WithoutCancel(ctx))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case late:
		cell.Skipped = fmt.Sprintf("one round takes longer than %s", r.plan.Longest)
	case errors.Is(err, ErrUnsupported):
		cell.Skipped = sentence(err)
	case err != nil:
		cell.Error = sentence(err)
	case cell.Outcome == "" || cell.Outcome == p.site.outcome:
		cell.Outcome = p.site.outcome
	default:
		cell.Outcome = "varies"
	}
	if cleaned != nil {
		p.dead = sentence(fmt.Errorf("clean up after %s: %w", c.Name, cleaned))
		if cell.Error == "" {
			cell.Error = p.dead
		}
	}
	return nil
}

// sentence puts errors that were joined on one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
