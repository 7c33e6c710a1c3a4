package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// atOnce is how many jobs run at once: a virtual machine has one CPU.
const atOnce = 2

// grace is how long a job may take to end after it was asked to. A virtual machine
// needs some seconds: its command has five of them.
const grace = time.Minute

// options are the command line.
type options struct {
	settings
	only    *regexp.Regexp
	list    bool
	results string
	suite   string
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	set := flag.NewFlagSet("crash", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Uint64Var(&o.seed, "seed", 1, "of everything random")
	set.DurationVar(&o.soak, "soak", 15*time.Minute, "how long the soak suite's day is")
	set.BoolVar(&o.list, "list", false, "list the suite's jobs and run none")
	set.StringVar(&o.results, "out", "", "folder for logs and rows, emptied first (default bin/results, or bin/soak)")
	only := set.String("only", "", "run the jobs whose names match this regular expression")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	o.suite = "crash"
	if set.NArg() > 0 {
		o.suite = set.Arg(0)
	}
	if set.NArg() > 1 || suites[o.suite] == nil {
		return o, fmt.Errorf("the suites are crash and soak, and %q is none", strings.Join(set.Args(), " "))
	}
	if o.results == "" {
		o.results = map[string]string{"crash": "bin/results", "soak": "bin/soak"}[o.suite]
	}
	o.results, err = filepath.Abs(o.results)
	return o, err
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ syscall.Signal }

func (i interrupted) Error() string { return fmt.Sprintf("ended by signal: %s", i.Signal) }

func run(args []string, stdout, stderr io.Writer) (status int) {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "crash:", err)
		return 2
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := (<-signals).(syscall.Signal)
		fmt.Fprintf(stderr, "crash: %s: ending the jobs; once more kills them\n", s)
		cancel(interrupted{s})
		signal.Reset() // the next one ends this process, and the kernel kills the jobs
	}()
	err = runSuite(ctx, o, stdout, stderr)
	var i interrupted
	switch {
	case errors.As(context.Cause(ctx), &i):
		fmt.Fprintln(stderr, "crash:", i)
		return 128 + int(i.Signal)
	case err != nil:
		fmt.Fprintln(stderr, "crash:", err)
		return 1
	}
	return 0
}

func runSuite(ctx context.Context, o options, stdout, stderr io.Writer) error {
	jobs := matching(suites[o.suite](o.settings), o.only)
	if len(jobs) == 0 {
		return fmt.Errorf("no job of the %s suite is named like %s", o.suite, o.only)
	}
	if o.list {
		for _, j := range jobs {
			fmt.Fprintf(stdout, "%-18s ./%s -run '%s' %s\n", j.name, j.pkg, j.tests, strings.Join(j.args, " "))
		}
		return nil
	}
	top, err := topOfRepository()
	if err != nil {
		return err
	}
	b := &builder{top: top, folder: filepath.Join(top, "bin/vmtest"), out: stderr, built: map[string]bool{}}
	if err := errors.Join(os.RemoveAll(o.results), os.MkdirAll(o.results, 0o755), os.MkdirAll(b.folder, 0o755)); err != nil {
		return err
	}
	progress := &progress{out: stderr, began: time.Now()}
	progress.say("building")
	if err := b.build(ctx, jobs); err != nil {
		return err
	}
	progress.say("%d jobs, %d at once; their logs are in %s", len(jobs), atOnce, o.results)
	s := &schedule{results: o.results, atOnce: atOnce, grace: grace, say: progress.say, command: func(j job) *exec.Cmd {
		return command(top, o.results, b.binary(j), j)
	}}
	outcomes := s.run(ctx, jobs)
	if ctx.Err() != nil {
		return s.reportRows(stdout, outcomes)
	}
	return s.report(stdout, outcomes)
}

// command is what runs a job. Inside a machine, and on the host, the test binary itself
// ends with all its goroutines' stacks shortly before the scheduler would end it.
func command(top, results, binary string, j job) *exec.Cmd {
	patience := (j.limit - j.limit/20).String()
	argv := []string{binary, "-test.v", "-test.run", j.tests}
	if j.vm {
		argv = slices.Concat([]string{filepath.Join(top, "bin/vm"), "-timeout", patience, "-leakcheck", "on", "-out", results, "--"},
			argv, []string{"-test.timeout", "0"})
	} else {
		argv = append(argv, "-test.timeout", patience)
	}
	cmd := exec.Command(argv[0], append(argv[1:], j.args...)...)
	cmd.Dir = filepath.Join(top, j.pkg)
	return cmd
}

// progress prints a line for each thing that happens. It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	began time.Time
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Since(p.began).Truncate(time.Second)
	fmt.Fprintf(p.out, "%02d:%02d  %s\n", int(at.Minutes()), int(at.Seconds())%60, fmt.Sprintf(format, args...))
}
