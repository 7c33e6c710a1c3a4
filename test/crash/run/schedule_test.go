package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A good row, and the shell's way to print one.
const (
	row    = `{"kind":"a fault","points":3}`
	prints = `echo '` + row + `' >>"$VENEER_RESULTS"; `
)

// scripted runs each job's only argument with a shell.
func scripted(t *testing.T, atOnce int) *schedule {
	t.Helper()
	return &schedule{results: t.TempDir(), atOnce: atOnce, grace: time.Hour, say: t.Logf, command: shell}
}

func shell(j job) *exec.Cmd { return exec.Command("sh", "-c", j.args[0]) }

func script(name, text string) job { return job{name: name, args: []string{text}, limit: time.Hour} }

// What a job's process does decides how the job ends, and no job keeps another from
// running. Each failure is reported with its reason and the end of its log.
func TestHowJobsEnd(t *testing.T) {
	s := scripted(t, 2)
	jobs := []job{
		script("good", prints+"echo all is well"),
		script("fails", prints+"seq 100; echo it broke >&2; exit 3"),
		script("prints-nothing", "echo no test was run"),
		script("tries-nothing", `echo '{"kind":"a fault","points":0}' >"$VENEER_RESULTS"`),
		script("violates", `echo '{"kind":"a fault","points":1,"violations":1}' >"$VENEER_RESULTS"`),
		script("misses-control", `echo '{"kind":"a fault","points":1,"controls":2,"caught":1}' >"$VENEER_RESULTS"`),
		script("breaks-off", prints+`printf '{"kind"' >>"$VENEER_RESULTS"`),
		script("hangs", "sleep 36000").within(time.Millisecond),
		script("cannot-start", ""),
		script("good-too", prints),
	}
	start := s.command
	s.command = func(j job) *exec.Cmd {
		if j.name == "cannot-start" {
			return exec.Command("/no/such/program")
		}
		return start(j)
	}
	outcomes := s.run(t.Context(), jobs)
	require.Len(t, outcomes, len(jobs))
	for i, want := range []error{nil, new(exec.ExitError), errNoRow, errNoTry, errResult, errResult, io.ErrUnexpectedEOF, errHung, os.ErrNotExist, nil} {
		o := outcomes[i]
		assert.Equal(t, jobs[i].name, o.name)
		var exit *exec.ExitError
		switch {
		case want == nil:
			assert.NoError(t, o.err, o.name)
		case errors.As(want, &exit):
			require.ErrorAs(t, o.err, &exit, o.name)
			assert.Equal(t, 3, exit.ExitCode())
		case o.name == "breaks-off":
			assert.Error(t, o.err, o.name)
		default:
			assert.ErrorIs(t, o.err, want, o.name)
		}
	}

	var out strings.Builder
	err := s.report(&out, outcomes)
	require.ErrorContains(t, err, "8 of 10 jobs failed")
	text := out.String()
	assert.Contains(t, text, "KIND OF FAULT")
	assert.Equal(t, 7, strings.Count(text, "a fault "), "rows of failed jobs are in the table too")
	assert.Contains(t, text, "\nfails: exit status 3\n")
	assert.Contains(t, text, "    it broke\n")
	assert.Contains(t, text, "    100\n")
	assert.NotContains(t, text, "    71\n", "only the log's end is printed")
	assert.Contains(t, text, "\nprints-nothing: it printed no row of results\n")
	assert.NotContains(t, text, "all is well")

	require.NoError(t, s.report(io.Discard, []outcome{outcomes[0], outcomes[9]}))
}

// Two jobs run at once and no more: each waits until it has seen the other, and the
// third one sees that one of them has ended.
func TestJobsRunTwoAtOnce(t *testing.T) {
	s := scripted(t, 2)
	meets := func(other string) string {
		return prints + `: >"$PWD/$0"; until [ -e ` + other + ` ]; do sleep 0.01; done; `
	}
	dir := t.TempDir()
	s.command = func(j job) *exec.Cmd {
		cmd := exec.Command("sh", "-c", j.args[0], j.name)
		cmd.Dir = dir
		return cmd
	}
	outcomes := s.run(t.Context(), []job{
		script("left", meets("right")+": >ended"), script("right", meets("left")+": >ended"),
		script("third", prints+"test -e ended"),
	})
	for _, o := range outcomes {
		assert.NoError(t, o.err, o.name)
	}
}

// What a job leaves running is killed with it, however it ends: the pipe that its
// children have inherited closes.
func TestNothingStaysOfAJob(t *testing.T) {
	for name, c := range map[string]struct {
		script       string
		limit, grace time.Duration
		signal       bool
	}{
		"ended":             {"sleep 36000 >&3 & " + prints, time.Hour, time.Hour, false},
		"hung":              {"sleep 36000 >&3 & wait", time.Millisecond, time.Hour, false},
		"interrupted":       {"sleep 36000 >&3 & echo up >&3; wait", time.Hour, time.Hour, true},
		"with a handler":    {"trap 'echo cleaned >&3; exit 1' TERM; sleep 36000 >&3 & echo up >&3; wait", time.Hour, time.Hour, true},
		"deaf to a SIGTERM": {"trap '' TERM; sleep 36000 >&3 & echo up >&3; wait", time.Hour, time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			s := scripted(t, 1)
			s.grace = c.grace
			s.command = func(j job) *exec.Cmd {
				cmd := shell(j)
				cmd.ExtraFiles = []*os.File{w}
				return cmd
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan []outcome, 1)
			go func() {
				ended <- s.run(ctx, []job{script("first", c.script).within(c.limit), script("second", prints)})
				w.Close()
			}()
			if c.signal {
				up := make([]byte, len("up\n"))
				_, err := io.ReadFull(r, up)
				require.NoError(t, err)
				cancel(interrupted{syscall.SIGINT})
			}
			rest, err := io.ReadAll(r) // until nobody has the other end
			require.NoError(t, err)
			outcomes := <-ended
			var i interrupted
			if c.signal {
				require.ErrorAs(t, outcomes[0].err, &i)
				require.ErrorAs(t, outcomes[1].err, &i, "it was not begun")
				assert.NoFileExists(t, s.log(outcomes[1].job))
			} else {
				require.NoError(t, outcomes[1].err)
			}
			if name == "with a handler" {
				assert.Equal(t, "cleaned\n", string(rest), "a job is asked to end before it is killed")
			}
			cancel(nil)
		})
	}
}

// asScheduler makes the test binary run the one script that it names, and inherit its
// descriptor 3 to it.
const asScheduler = "CRASH_TEST_AS_SCHEDULER"

func TestMain(m *testing.M) {
	text := os.Getenv(asScheduler)
	if text == "" {
		os.Exit(m.Run())
	}
	s := &schedule{results: os.Getenv("CRASH_TEST_RESULTS"), atOnce: 1, grace: time.Hour, say: func(string, ...any) {}, command: func(j job) *exec.Cmd {
		cmd := shell(j)
		cmd.ExtraFiles = []*os.File{os.NewFile(3, "pipe")}
		return cmd
	}}
	s.run(context.Background(), []job{script("only", text)})
}

// A scheduler that is killed takes its jobs along.
func TestJobsEndWithTheScheduler(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asScheduler+"=echo up >&3; exec sleep 36000", "CRASH_TEST_RESULTS="+t.TempDir())
	cmd.ExtraFiles = []*os.File{w}
	require.NoError(t, cmd.Start())
	w.Close()
	_, err = io.ReadFull(r, make([]byte, len("up\n")))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()             // it was killed
	rest, err := io.ReadAll(r) // until nobody has the other end
	require.NoError(t, err)
	assert.Empty(t, rest)
}

// Every job can be built and says where it runs: its package is there, its name is a
// file's name of its own, and its tests exist.
func TestJobsAreAboutWhatExists(t *testing.T) {
	for suite, list := range suites {
		names := map[string]bool{}
		for _, j := range list(settings{seed: 7, soak: time.Minute}) {
			assert.Regexp(t, `^[a-z]+(-[a-z]+)*$`, j.name)
			assert.False(t, names[j.name], "%s: two jobs are called %s", suite, j.name)
			names[j.name] = true
			assert.Positive(t, j.limit, j.name)
			tests := regexp.MustCompile(`(?m)^func (Test\w*` + "(?:" + j.tests + ")" + `\w*)\(t \*testing\.T\)`)
			files, err := filepath.Glob(filepath.Join("../../..", j.pkg, "*_test.go"))
			require.NoError(t, err)
			found := false
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				found = found || tests.Match(text)
			}
			assert.True(t, found, "%s: no test of %s is named like %s", j.name, j.pkg, j.tests)
		}
	}
}

func TestMatching(t *testing.T) {
	jobs := crashJobs(settings{})
	assert.Len(t, matching(jobs, regexp.MustCompile("")), len(jobs))
	assert.Len(t, matching(jobs, regexp.MustCompile("^full$|damage")), 2)
}

func TestCommandLine(t *testing.T) {
	o, err := parse([]string{"-seed", "5", "-only", "full", "soak"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, "soak", o.suite)
	assert.Equal(t, uint64(5), o.seed)
	assert.True(t, filepath.IsAbs(o.results))
	assert.Equal(t, "soak", filepath.Base(o.results))
	for _, bad := range [][]string{{"-only", "("}, {"x"}, {"crash", "soak"}, {"-nosuch"}} {
		_, err := parse(bad, io.Discard)
		assert.Error(t, err, "%v", bad)
	}
	j := inVM("a", "test/crash", "One|Two", "-points", "0").within(100 * time.Minute)
	assert.Equal(t, []string{"/top/bin/vm", "-timeout", "1h35m0s", "-leakcheck", "on", "-out", "/results", "--",
		"/bin.test", "-test.v", "-test.run", "One|Two", "-test.timeout", "0", "-points", "0"}, command("/top", "/results", "/bin.test", j).Args)
	cmd := command("/top", "/results", "/bin.test", onHost("b", "snapshots", "Fault"))
	assert.Equal(t, "/top/snapshots", cmd.Dir)
	assert.Equal(t, []string{"/bin.test", "-test.v", "-test.run", "Fault", "-test.timeout", "1h54m0s"}, cmd.Args)
}
