package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Exit statuses as gremlins understands those of go test.
const (
	exitLived     = 0
	exitKilled    = 1
	exitNotViable = 2
	exitError     = 3
)

// Verdicts on a mutant.
const (
	lived     = "lived"
	killed    = "killed"
	timedOut  = "timed out"
	notViable = "not viable"
	broken    = "could not be tried" // which ends the run with an error
)

// trial is what became of one mutant.
type trial struct {
	Mutation mutation
	Verdict  string
	Detail   string // the first test that failed, or why there was no test
}

// standIn is the go command that gremlins runs. It gives the exit status.
func standIn(args []string) int {
	j, err := loadJob()
	if err != nil {
		return complain(err)
	}
	ctx := context.Background()
	profile := slices.Index(args, "-coverprofile")
	switch {
	case len(args) > 0 && args[0] == "mod":
		return 0
	case len(args) == 0 || args[0] != "test":
		return complain(fmt.Errorf("gremlins runs go %q, which nobody expects", args))
	case profile >= 0:
		if err := j.cover(ctx, args[profile+1]); err != nil {
			return complain(err)
		}
		return 0
	}
	dir, err := os.Getwd()
	if err != nil {
		return complain(err)
	}
	t, err := j.try(ctx, dir)
	if err != nil {
		t = trial{Verdict: broken, Detail: err.Error()}
	}
	if err := j.log(t); err != nil {
		return complain(err)
	}
	return map[string]int{lived: exitLived, killed: exitKilled, timedOut: exitKilled, notViable: exitNotViable, broken: exitError}[t.Verdict]
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "mutate:", err)
	return exitError
}

// cover makes the real profile, and gives gremlins one that covers everything: the
// mutants that it takes for uncovered it would not try.
func (j *job) cover(ctx context.Context, forGremlins string) error {
	cmd := exec.CommandContext(ctx, j.Go, "test", "-count=1", "-coverprofile", j.Profile, ".")
	cmd.Dir = j.Package
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("measure coverage: %w\n%s", err, out)
	}
	var all strings.Builder
	all.WriteString("mode: set\n")
	for _, name := range j.Files {
		fmt.Fprintf(&all, "%s/%s:1.1,1000000.1 1 1\n", j.Import, name)
	}
	return os.WriteFile(forGremlins, []byte(all.String()), 0o600)
}

// try builds and runs the tests of the package in dir, one file of which gremlins
// has mutated.
func (j *job) try(ctx context.Context, dir string) (trial, error) {
	m, err := findMutation(j.Package, dir, j.Files)
	if errors.Is(err, errUnchanged) {
		return trial{m, notViable, err.Error()}, nil
	}
	if err != nil {
		return trial{}, err
	}
	if err := j.control(ctx, dir, m.File); err != nil {
		return trial{}, err
	}
	scratch, err := os.MkdirTemp(j.Scratch, "")
	if err != nil {
		return trial{}, err
	}
	defer os.RemoveAll(scratch)
	program := filepath.Join(scratch, "mutant.test")
	if out, err := j.build(ctx, dir, program); err != nil {
		if !strings.HasPrefix(out, "# "+j.Import) {
			return trial{}, fmt.Errorf("go test -c: %w\n%s", err, out)
		}
		return trial{m, notViable, lastLine(out)}, nil
	}
	for _, times := range []int{1, 2} {
		r, err := j.test(ctx, dir, program, times)
		switch {
		case err != nil:
			return trial{}, err
		case r.stopped:
			continue
		case r.status == 0:
			return trial{m, lived, ""}, nil
		}
		return trial{m, killed, firstFailure(r.output)}, nil
	}
	return trial{m, timedOut, ""}, nil
}

// control tries the original in each of gremlins' copies of the tree once, as mutants
// are tried: what else would make tests fail there would kill every mutant. The file
// is the one that is mutated.
func (j *job) control(ctx context.Context, dir, file string) (err error) {
	program := filepath.Join(j.Scratch, "control"+strings.ReplaceAll(dir, "/", "_"))
	f, err := os.OpenFile(program, os.O_CREATE|os.O_EXCL, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	path := filepath.Join(dir, file)
	mutant, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	original, err := os.ReadFile(filepath.Join(j.Package, file))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, original, 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, mutant, 0o600)) }()
	if out, err := j.build(ctx, dir, program); err != nil {
		return fmt.Errorf("build the tests of the original: %w\n%s", err, out)
	}
	r, err := j.test(ctx, dir, program, 1)
	if err == nil && (r.stopped || r.status != 0) {
		err = fmt.Errorf("the tests of the original fail where gremlins runs them:\n%s", r.output)
	}
	return err
}

// build makes the test program of the package in dir.
func (j *job) build(ctx context.Context, dir, program string) (output string, err error) {
	cmd := exec.CommandContext(ctx, j.Go, "test", "-c", "-trimpath", "-vet=off", "-ldflags=-w", "-o", program, ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// log adds a trial to the log. Trials are shorter than what the kernel writes at
// once, and the file is opened to append, so that several stand-ins may do it.
func (j *job) log(t trial) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}

var failure = regexp.MustCompile(`(?m)^(--- FAIL: \S+|panic: .*|fatal error: .*|FAIL: .*)`)

func firstFailure(output string) string { return failure.FindString(output) }

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
