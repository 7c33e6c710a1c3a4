package command_test

import (
	"bufio"
	"context"
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

	"github.com/veneerdm/veneer/internal/command"
)

func sh(script string, args ...string) (string, error) {
	return command.Run(context.Background(), "sh", append([]string{"-c", script, "sh"}, args...)...)
}

func TestArgumentsAndEnvironment(t *testing.T) {
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("FROM_US", "inherited")
	out, err := sh(`echo "$LC_ALL/$FROM_US/$1"; cat`, "a b; $(echo no)")
	require.NoError(t, err)
	assert.Equal(t, "C/inherited/a b; $(echo no)\n", out, "and its standard input is empty")
	out, err = command.Program{Name: "sh", Env: []string{"MORE=x", "FROM_US=ours"}}.RunWith(t.Context(), strings.NewReader("given"), "-c", `cat; echo " $MORE $FROM_US"`)
	require.NoError(t, err)
	assert.Equal(t, "given x ours\n", out)
}

func TestErrorsSayWhatTheProgramSaid(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		status int
		want   string
	}{
		"standard error":     {`echo out; printf 'one\n  two\t3\n' >&2; exit 7`, 7, "sh: exit status 7: one two 3"},
		"output alone":       {`echo 'found errors'; exit 4`, 4, "sh: exit status 4: found errors"},
		"nothing":            {`exit 1`, 1, "sh: exit status 1"},
		"a signal":           {`echo was here >&2; kill -9 $$`, -1, "sh: signal: killed: was here"},
		"control characters": {`printf 'label \033[31m\007\377 end' >&2; exit 1`, 1, "sh: exit status 1: label \ufffd[31m\ufffd\ufffd end"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sh(c.script)
			require.EqualError(t, err, c.want)
			failed, ok := errors.AsType[*command.Error](err)
			require.True(t, ok)
			assert.Equal(t, c.status, failed.Status)
			exit, ok := errors.AsType[*exec.ExitError](err)
			require.True(t, ok)
			assert.Equal(t, c.status, exit.ExitCode())
		})
	}
}

func TestErrorsNameTheSubcommand(t *testing.T) {
	_, err := command.Run(t.Context(), "sh", "/nowhere\n/else", "--option")
	require.ErrorContains(t, err, "sh /nowhere /else: exit status ")
}

func TestLittleOfALongErrorIsKept(t *testing.T) {
	_, err := sh(`echo first >&2; i=0; while [ $i -lt 5000 ]; do echo "line $i of many" >&2; i=$((i+1)); done; echo last >&2; exit 1`)
	failed, ok := errors.AsType[*command.Error](err)
	require.True(t, ok, err)
	assert.True(t, strings.HasPrefix(failed.Said, "first line 0"), failed.Said)
	assert.True(t, strings.HasSuffix(failed.Said, "line 4999 of many last"), failed.Said)
	assert.Regexp(t, `\[\d+ bytes left out\]`, failed.Said)
	assert.Less(t, len(failed.Said), 5000)
}

func TestOutputIsWhole(t *testing.T) {
	out, err := sh(`head -c 3000000 /dev/zero; exit 2`)
	require.Error(t, err)
	assert.Len(t, out, 3_000_000)
	failed, ok := errors.AsType[*command.Error](err)
	require.True(t, ok)
	assert.Less(t, len(failed.Said), 20_000)
}

func TestNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := command.Run(t.Context(), "no-such-program")
	require.EqualError(t, err, "no-such-program is not installed")
	require.ErrorIs(t, err, command.ErrNotInstalled)
	require.ErrorIs(t, command.Program{Name: "no-such-program"}.Installed(), command.ErrNotInstalled)
	_, err = command.Program{Name: "/no/such/program", Package: "some"}.Run(t.Context())
	require.EqualError(t, err, "/no/such/program is not installed: install the package some")
	require.ErrorIs(t, err, command.ErrNotInstalled)
	assert.Empty(t, command.Program{Name: "no-such-program"}.Version(t.Context(), "-V"))

	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, []byte("x"), 0o600))
	_, err = command.Run(t.Context(), broken)
	require.ErrorIs(t, err, os.ErrPermission)
	require.NotErrorIs(t, err, command.ErrNotInstalled)
	require.NoError(t, os.WriteFile(broken, []byte("\x7fELF"), 0o600))
	require.NoError(t, os.Chmod(broken, 0o700))
	_, err = command.Run(t.Context(), broken)
	require.ErrorIs(t, err, syscall.ENOEXEC)
	require.ErrorContains(t, err, broken)
}

// A program in /usr/sbin is found by a user who has only /usr/bin in PATH.
func TestSbinIsSearched(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	path, err := command.Program{Name: "mkfs.ext4"}.Path()
	require.NoError(t, err)
	assert.Equal(t, "mkfs.ext4", filepath.Base(path))
	require.NoError(t, command.Program{Name: "mkfs.ext4"}.Installed())
}

func TestVersion(t *testing.T) {
	for script, want := range map[string]string{
		"echo 'tool 1.2'; echo more":          "tool 1.2",
		"echo; echo 'tool 1.3' >&2; exit 1":   "tool 1.3",
		"echo 'from output'; echo error >&2;": "from output",
		"true":                                "",
	} {
		program := filepath.Join(t.TempDir(), "program")
		require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n[ \"$1\" = -V ] || exit 9\n"+script+"\n"), 0o700))
		assert.Equal(t, want, command.Program{Name: program}.Version(t.Context(), "-V"), script)
	}
}

func TestContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the daemon stops")
	cancel(cause)
	_, err := command.Run(ctx, "sh", "-c", "exit 0")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, cause)
}

// The program and a child of it that ignores SIGTERM, and has closed its standard
// output, are killed when the context ends: both hold a FIFO open that ends with them.
func TestContextEndsTheWholeGroup(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := command.Run(ctx, "sh", "-c", `exec 3>"$0"; (trap "" TERM; echo child >&3; exec sleep 1000) >/dev/null 2>&1 & echo working >&2; wait`, fifo)
		answer <- err
	}()
	held, err := os.Open(fifo)
	require.NoError(t, err)
	defer held.Close()
	lines := bufio.NewReader(held)
	word, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "child\n", word)
	cancel()
	err = <-answer
	require.ErrorIs(t, err, context.Canceled)
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, err)
	assert.Equal(t, -1, exit.ExitCode())
	rest, err := io.ReadAll(lines) // its end is the child's end
	require.NoError(t, err)
	assert.Empty(t, rest)
}

// A program that succeeded just before the context ended has succeeded.
func TestSuccessCounts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, err := command.Run(ctx, "sh", "-c", "echo ok")
	cancel()
	require.NoError(t, err)
	assert.Equal(t, "ok\n", out)
}

const orphanVariable = "VENEER_TEST_RUNS_ORPHAN"

// When this process is killed, the program ends.
func TestProgramDiesWithUs(t *testing.T) {
	if fifo := os.Getenv(orphanVariable); fifo != "" {
		_, err := command.Run(t.Context(), "sh", "-c", `exec 3>"$0"; echo running >&3; exec sleep 1000`, fifo)
		fmt.Println(err)
		return
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	parent := exec.Command(os.Args[0], "-test.run", "^TestProgramDiesWithUs$")
	parent.Env = append(os.Environ(), orphanVariable+"="+fifo)
	require.NoError(t, parent.Start())
	held, err := os.Open(fifo)
	require.NoError(t, err)
	defer held.Close()
	lines := bufio.NewReader(held)
	_, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	_, err = io.ReadAll(lines)
	require.NoError(t, err)
}
