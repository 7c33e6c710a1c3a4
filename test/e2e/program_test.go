package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/test/waittest"
)

// The program's exit codes, as veneer --help lists them.
const (
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 3
	exitInUse    = 4
	exitPool     = 5
)

// built is the program under test.
func built() string {
	if path := os.Getenv("VENEER_BIN"); path != "" {
		return path
	}
	return "../../bin/veneer"
}

// program is the built veneer with a store's folder of its own.
type program struct {
	path string
	dir  string // everything of the test's is below it
	root string // the store's folder
	as   *syscall.Credential
	// mounted says that some container is: its filesystem writes when it likes.
	mounted bool
}

// newProgram copies the program to where every user may run it.
func newProgram(t *testing.T) *program {
	t.Helper()
	onTheKernel(t)
	dir, err := os.MkdirTemp(os.Getenv("VENEER_SCRATCH"), "e2e-") //nolint:usetesting // t.TempDir lets only root in
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	p := &program{path: filepath.Join(dir, "veneer"), dir: dir, root: filepath.Join(dir, "store")}
	in, err := os.Open(built())
	require.NoError(t, err, "build the program first: make bin/veneer")
	defer in.Close()
	out, err := os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, errors.Join(err, out.Close()))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.toml"), nil, 0o644))
	return p
}

// newProgramWithPool also makes a small pool, and destroys it when the test ends.
func newProgramWithPool(t *testing.T, flags ...string) *program {
	t.Helper()
	p := newProgram(t)
	p.do(t, append([]string{"pool", "create", "--name", p.pool(), "--size", "1G", "--metadata-size", "16M", "--base-size", "128M"}, flags...)...)
	t.Cleanup(func() {
		p.do(t, "pool", "destroy", p.pool(), "--yes")
		_, err := os.Lstat(p.root)
		assert.ErrorIs(t, err, fs.ErrNotExist, "the store's folder is gone with the pool")
	})
	return p
}

// pool is a name for the pool that no other test has.
func (p *program) pool() string { return filepath.Base(p.dir) }

// result is what a command said and how it ended.
type result struct {
	code           int
	stdout, stderr string
}

func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	words := []string{"--root", p.root, "--progress", "none"}
	if !strings.Contains(strings.Join(args, " "), "--config") {
		words = append(words, "--config", filepath.Join(p.dir, "config.toml"))
	}
	cmd := exec.CommandContext(ctx, p.path, append(words, args...)...)
	cmd.Dir = p.dir
	if p.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	}
	return cmd
}

// run runs the program to its end, whatever that is.
func (p *program) run(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waittest.Hang) // also while the test cleans up
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := p.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		require.NoError(t, err)
	}
	require.NoError(t, ctx.Err(), "veneer %s did not end", strings.Join(args, " "))
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// do runs a command that must succeed, and gives what it printed.
func (p *program) do(t *testing.T, args ...string) string {
	t.Helper()
	r := p.run(t, args...)
	require.Zero(t, r.code, "veneer %s: %s", strings.Join(args, " "), r.stderr)
	return strings.TrimSpace(r.stdout)
}

// refusal is a command that cannot be carried out, and what is to be said about it.
type refusal struct {
	name string
	args []string
	code int
	says []string // each is part of the one sentence
}

// refuses runs the command and holds it to the contract: the exit code, one
// sentence, and the world as it was.
func (p *program) refuses(t *testing.T, want refusal) {
	t.Helper()
	before := p.world(t)
	r := p.run(t, want.args...)
	t.Logf("veneer %s\n\t%s", strings.Join(want.args, " "), strings.TrimSpace(r.stderr))
	assert.Equal(t, want.code, r.code, "the exit code")
	assert.Empty(t, r.stdout)
	sentence, ok := strings.CutPrefix(r.stderr, "veneer: ")
	assert.True(t, ok, "it begins with the program's name")
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"), "it is one line: %q", r.stderr)
	assert.NotContains(t, sentence, "; ;")
	for _, part := range want.says {
		assert.Contains(t, sentence, part)
	}
	before.same(t, p.world(t))
}

func (p *program) refusesEach(t *testing.T, all []refusal) {
	t.Helper()
	for _, want := range all {
		t.Run(want.name, func(t *testing.T) { p.refuses(t, want) })
	}
}

// world is all that a command could leave behind.
type world struct {
	Devices, Loops, Mounts, Files []string
	Status, Images, Containers    string
}

// same shows what of the world has changed, and only that.
func (w world) same(t *testing.T, now world) {
	t.Helper()
	const all = "nothing is left behind and nothing is missing"
	sameLines(t, w.Devices, now.Devices, "device-mapper devices: "+all)
	sameLines(t, w.Loops, now.Loops, "loop devices: "+all)
	sameLines(t, w.Mounts, now.Mounts, "mounts: "+all)
	sameLines(t, w.Files, now.Files, "files: "+all)
	assert.Equal(t, w.Status, now.Status, "the pool is as it was")
	assert.Equal(t, w.Images, now.Images, "the images are as they were")
	assert.Equal(t, w.Containers, now.Containers, "the containers are as they were")
}

func (p *program) world(t *testing.T) world {
	t.Helper()
	var w world
	w.Devices = p.mine(devices(t))
	loops, err := loopback.List()
	require.NoError(t, err)
	for _, d := range loops {
		w.Loops = append(w.Loops, d.String())
	}
	w.Loops = p.mine(w.Loops)
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	w.Mounts = p.mine(strings.Split(string(mounts), "\n"))
	require.NoError(t, filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		w.Files = append(w.Files, path)
		return err
	}))
	if _, err := os.Lstat(p.root); err == nil && p.as == nil {
		w.Status = p.steady(p.run(t, "pool", "status", "--format", "json"))
		w.Images = p.steady(p.run(t, "image", "ls", "--format", "json"))
		w.Containers = p.steady(p.run(t, "container", "ls", "--format", "json"))
	}
	return w
}

// mine leaves out what others do meanwhile on a machine that is not the test's
// alone. Paths and names of a test's own all hold its pool's name.
func (p *program) mine(names []string) []string {
	if os.Getenv("VENEER_VM") != "native" {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, p.pool()) })
}

// devices lists the machine's device-mapper devices, or says why there are none.
func devices(t *testing.T) (names []string) {
	t.Helper()
	dm, err := devmapper.Open()
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { assert.NoError(t, dm.Close()) }()
	entries, err := dm.List("")
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

// steady is what must be the same before and after a command that was refused. The
// pool's clock ticks, and its B-trees breathe, with snapshots that were given up.
func (p *program) steady(r result) string {
	var fields map[string]any
	if json.Unmarshal([]byte(r.stdout), &fields) != nil {
		return r.stdout + r.stderr
	}
	delete(fields, "snapshotsEver")
	delete(fields, "metadataUsed")
	if p.mounted {
		delete(fields, "dataUsed")
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// lines are what a running command says on standard error.
type lines struct{ scanner *bufio.Scanner }

// startReading starts a command whose standard error is read line by line.
func startReading(t *testing.T, cmd *exec.Cmd) lines {
	t.Helper()
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return lines{bufio.NewScanner(out)}
}

// until reads to the first line that holds a word.
func (l lines) until(t *testing.T, word string) {
	t.Helper()
	var heard []string
	for l.scanner.Scan() {
		if strings.Contains(l.scanner.Text(), word) {
			return
		}
		heard = append(heard, l.scanner.Text())
	}
	require.Fail(t, "the command never said "+word, "%q", heard)
}

// rest reads until the command says no more.
func (l lines) rest() (text string) {
	for l.scanner.Scan() {
		text += l.scanner.Text() + "\n"
	}
	return text
}
