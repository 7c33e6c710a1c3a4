package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/test/waittest"
)

// program is vm itself, built without the race detector: a machine runs it as its
// first process, and User-Mode Linux has no room for the detector's memory.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "vm-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "vm")
	if os.Getenv("VENEER_VM") == "" {
		build := exec.Command("go", "build", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build vm: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// A run is one finished vm.
type run struct {
	status         int
	stdout, stderr string
}

// chosenBackend is the one that vm takes in these tests.
func chosenBackend(t *testing.T) (backend, error) {
	t.Helper()
	o, err := parseOptions([]string{"true"}, io.Discard)
	require.NoError(t, err)
	return chooseBackend(o)
}

func needBackend(t *testing.T) {
	t.Helper()
	if os.Getenv("VENEER_VM") != "" {
		t.Skip("needs the host: vm does not boot inside itself")
	}
	_, err := chosenBackend(t)
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("needs a backend: ", err)
	}
	require.NoError(t, err)
	t.Parallel()
}

func machineCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "MARK=from the caller")
	cmd.Dir = t.TempDir()
	return cmd
}

func vm(t *testing.T, args ...string) run {
	t.Helper()
	cmd := machineCommand(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return finish(t, cmd.Run(), &stdout, &stderr)
}

func finish(t *testing.T, err error, stdout, stderr *bytes.Buffer) run {
	t.Helper()
	r := run{stdout: stdout.String(), stderr: stderr.String()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		r.status = exit.ExitCode()
	} else {
		require.NoError(t, err)
	}
	return r
}

func TestExitStatusOfCommand(t *testing.T) {
	needBackend(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": exitBySignal + 9} {
		r := vm(t, "--", "sh", "-c", script)
		assert.Equal(t, want, r.status, "%s: %s", script, r.stderr)
	}
	r := vm(t, "--", "no-such-command")
	assert.Equal(t, exitNotFound, r.status)
	assert.Contains(t, r.stderr, "no-such-command")
	assert.Equal(t, exitCannotRun, vm(t, "--", "/etc/passwd").status)
}

func TestStreamsStayApartAndComplete(t *testing.T) {
	needBackend(t)
	r := vm(t, "--", "sh", "-c", "seq 1 200000; seq 1 20000 >&2; cat")
	assert.Zero(t, r.status)
	assert.Equal(t, numbers(200000), r.stdout)
	assert.Equal(t, numbers(20000), r.stderr)
}

func TestOneStreamKeepsItsOrder(t *testing.T) {
	needBackend(t)
	cmd := machineCommand(t, "--", "sh", "-c", "for i in $(seq 1 300); do echo out $i; echo err $i >&2; done")
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	require.NoError(t, cmd.Run())
	var want strings.Builder
	for i := 1; i <= 300; i++ {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	assert.Equal(t, want.String(), both.String())
}

func numbers(n int) string {
	var text strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&text, i)
	}
	return text.String()
}

func TestEnvironmentAndFolders(t *testing.T) {
	needBackend(t)
	out := filepath.Join(t.TempDir(), "made", "when absent")
	r := vm(t, "-out", out, "--", "sh", "-ec", `
		echo "$MARK|$VENEER_VM|$PWD|$(pwd)"
		test -n "$VENEER_SCRATCH"; mountpoint -q "$VENEER_SCRATCH"; touch "$VENEER_SCRATCH/a" "$TMPDIR/b"
		case $TMPDIR in $VENEER_SCRATCH/*) ;; *) exit 3 ;; esac
		df --output=fstype "$VENEER_SCRATCH" | tail -1
		ip -br link show lo 2>/dev/null | grep -q UP || cat /sys/class/net/lo/flags | grep -q 0x9
		grep -q thin_pool /proc/modules || test -d /sys/module/dm_thin_pool
		echo kept > '`+out+`/file'; mkdir '`+out+`/dir'; ln -s file '`+out+`/link'`)
	require.Zero(t, r.status, r.stderr)
	lines := strings.Split(r.stdout, "\n")
	fields := strings.Split(lines[0], "|")
	assert.Equal(t, "from the caller", fields[0])
	assert.Contains(t, []string{"uml", "qemu", "native"}, fields[1])
	assert.Equal(t, fields[2], fields[3])
	assert.Equal(t, "ext4", lines[1])
	kept, err := os.ReadFile(filepath.Join(out, "link"))
	require.NoError(t, err)
	assert.Equal(t, "kept\n", string(kept))
	assert.DirExists(t, filepath.Join(out, "dir"))
}

func TestHostIsOutOfReach(t *testing.T) {
	needBackend(t)
	if b, err := chosenBackend(t); err == nil && b.name() == "native" {
		t.Skip("needs the host: a native run is the host")
	}
	mark := filepath.Join(t.TempDir(), "mark")
	r := vm(t, "--", "sh", "-c", "echo x > '"+mark+"'; echo y > /etc/veneer-vm-test; cat /etc/veneer-vm-test; touch /usr/veneer-vm-test")
	assert.NotZero(t, r.status, "/usr is read-only")
	assert.Equal(t, "y\n", r.stdout)
	assert.NoFileExists(t, mark)
	assert.NoFileExists(t, "/etc/veneer-vm-test")
	assert.NoFileExists(t, "/usr/veneer-vm-test")
}

func TestLeakCheck(t *testing.T) {
	needBackend(t)
	const leaky = "truncate -s 1M $TMPDIR/f; losetup -f $TMPDIR/f; echo 0 8 zero | dmsetup create leaked; mkdir $TMPDIR/m; mount -t tmpfs none $TMPDIR/m"
	r := vm(t, "-leakcheck", "on", "--", "sh", "-c", leaky)
	assert.Equal(t, exitLeak, r.status)
	for _, want := range []string{"device-mapper device leaked", "loop device /dev/loop", "/tmp/m, id "} {
		assert.Contains(t, r.stderr, want)
	}
	r = vm(t, "-leakcheck", "on", "--", "sh", "-c", leaky+"; exit 4")
	assert.Equal(t, 4, r.status, "CMD's own failure says more than what it left")
	assert.Contains(t, r.stderr, "left behind")
	r = vm(t, "-leakcheck", "on", "--", "sh", "-c", leaky+"; dmsetup remove leaked; losetup -D; umount $TMPDIR/m")
	assert.Zero(t, r.status, r.stderr)
}

func TestGuestKernelPanicIsReported(t *testing.T) {
	needBackend(t)
	if b, err := chosenBackend(t); err == nil && b.name() == "native" {
		t.Skip("needs the host: a native run is the host")
	}
	r := vm(t, "--", "sh", "-c", "echo before; echo c > /proc/sysrq-trigger")
	assert.Equal(t, exitMachine, r.status)
	assert.Contains(t, r.stderr, "Kernel panic")
}

func TestEndingsLeaveNothing(t *testing.T) {
	needBackend(t)
	for name, end := range map[string]struct {
		args   []string
		signal syscall.Signal
		status int
	}{
		"timeout":   {args: []string{"-timeout", "1s"}, status: exitTimeout},
		"terminate": {signal: syscall.SIGTERM, status: exitBySignal + int(syscall.SIGTERM)},
		"interrupt": {signal: syscall.SIGINT, status: exitBySignal + int(syscall.SIGINT)},
		"kill":      {signal: syscall.SIGKILL, status: -1},
	} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			cmd := machineCommand(t, append(end.args, "--", "sh", "-c", "echo up; trap '' TERM INT QUIT; sleep 36000 & while :; do wait; done")...)
			cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
			var stdout, stderr bytes.Buffer
			cmd.Stderr = &stderr
			up, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			if end.signal != 0 { // at a timeout CMD may not have begun yet
				_, err = fmt.Fscanln(up, new(string))
				require.NoError(t, err, "CMD did not start")
				require.NoError(t, cmd.Process.Signal(end.signal))
			}
			r := finish(t, cmd.Wait(), &stdout, &stderr)
			assert.Equal(t, end.status, r.status, r.stderr)
			waittest.Until(t, "every process ends", func() bool { return len(processesNaming(t, tmp)) == 0 })
			runs, err := filepath.Glob(filepath.Join(tmp, "*", "run-*"))
			require.NoError(t, err)
			assert.Empty(t, runs)
		})
	}
}

// processesNaming lists processes that have text among their arguments: a machine
// is given the path of its run folder.
func processesNaming(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte(text)) {
			found = append(found, string(data))
		}
	}
	return found
}

func TestSweepTakesOnlyTheAbandoned(t *testing.T) {
	base := t.TempDir()
	held, err := newRunDir(base)
	require.NoError(t, err)
	dead := filepath.Join(base, "run-dead")
	require.NoError(t, os.MkdirAll(filepath.Join(dead, "files"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dead, "lock"), nil, 0o600))
	sweep(base)
	assert.NoDirExists(t, dead)
	assert.DirExists(t, held.path)
	require.NoError(t, held.remove())
	assert.NoDirExists(t, held.path)
}

func TestMachinesTakeDifferentCPUs(t *testing.T) {
	base := t.TempDir()
	first, err := claimCPU(base)
	require.NoError(t, err)
	defer first.release()
	second, err := claimCPU(base)
	require.NoError(t, err)
	defer second.release()
	if second.lock != nil { // there is more than one CPU
		assert.NotEqual(t, first.cpu, second.cpu)
	}
}

const moduleUnderTest = `module example

go 1.25
`

const testUnderTest = `package example

import (
	"os"
	"testing"
)

func double(x int) int {
	if x < 0 {
		panic("negative")
	}
	return 2 * x
}

func TestDouble(t *testing.T) {
	if os.Getenv("VENEER_VM") == "" {
		t.Fatal("not in the machine")
	}
	double(1)
}

func TestPanic(t *testing.T) { double(-1) }
`

// TestGoTest runs vm as `go test -exec` does.
func TestGoTest(t *testing.T) {
	needBackend(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(moduleUnderTest), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "double.go"), []byte("package example\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "double_test.go"), []byte(testUnderTest), 0o600))
	goTest := func(args ...string) (string, error) {
		cmd := exec.CommandContext(waittest.Context(t), "go", append([]string{"test", "-exec", program, "-count=1"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := goTest("-run", "TestDouble", "-coverprofile=c.out", "-memprofile=m.out", ".")
	require.NoError(t, err, out)
	assert.Contains(t, out, "ok  \texample")
	profile, err := os.ReadFile(filepath.Join(dir, "c.out"))
	require.NoError(t, err)
	assert.Contains(t, string(profile), "mode: set")
	assert.FileExists(t, filepath.Join(dir, "m.out"))

	out, err = goTest("-run", "TestPanic", ".")
	require.Error(t, err)
	assert.Contains(t, out, "panic: negative")
	assert.Contains(t, out, "double_test.go:10")
}
