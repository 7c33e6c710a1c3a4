package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ErrNotInstalled is the class of a program that is not installed. The message names
// the package that has it, where the Program does.
var ErrNotInstalled = errors.New("is not installed")

// A Program is a program of the system. The zero value of all but Name is fine.
type Program struct {
	Name    string   // looked for in PATH and in the sbin directories; or a path
	Package string   // that has it in Debian, and under this name in most others
	Env     []string // KEY=value, added to this process's environment and LC_ALL=C
}

// Run runs the program of that name to its end and gives what it printed on standard
// output, also beside an error.
func Run(ctx context.Context, name string, args ...string) (stdout string, err error) {
	return Program{Name: name}.Run(ctx, args...)
}

// sbin is searched after PATH: not every user has these directories in it.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// Path is where the program is, or ErrNotInstalled.
func (p Program) Path() (string, error) {
	path, err := exec.LookPath(p.Name)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if !strings.Contains(p.Name, "/") {
		for _, dir := range sbin {
			if path, err := exec.LookPath(filepath.Join(dir, p.Name)); err == nil {
				return path, nil
			}
		}
	}
	if p.Package == "" {
		return "", fmt.Errorf("%s %w", p.Name, ErrNotInstalled)
	}
	return "", fmt.Errorf("%s %w: install the package %s", p.Name, ErrNotInstalled, p.Package)
}

// Installed is nil, or ErrNotInstalled.
func (p Program) Installed() error {
	_, err := p.Path()
	return err
}

// Run runs the program to its end and gives what it printed on standard output, also
// beside an error.
func (p Program) Run(ctx context.Context, args ...string) (stdout string, err error) {
	return p.RunWith(ctx, nil, args...)
}

// RunWith is Run with a text for the program's standard input, which is empty for nil.
func (p Program) RunWith(ctx context.Context, stdin io.Reader, args ...string) (stdout string, err error) {
	var out strings.Builder
	var said ends
	err = p.run(ctx, stdin, &out, &said, args)
	if failed, ok := errors.AsType[*Error](err); ok {
		if failed.Said = line(said.String()); failed.Said == "" { // e2fsck reports on standard output
			_, _ = io.WriteString(&said, out.String()) // never fails
			failed.Said = line(said.String())
		}
	}
	return out.String(), err
}

// Version is the first line that the program prints with a flag, on standard output or
// standard error and whatever its exit status; "" when it prints nothing or is missing.
func (p Program) Version(ctx context.Context, flag string) string {
	var said ends
	_ = p.run(ctx, nil, &said, &said, []string{flag}) // some end with 1 after it
	first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	return line(first)
}

// outputWait bounds the wait for the end of a program's output after the program has
// ended: a process that it has left behind may hold the pipe open for ever.
const outputWait = 10 * time.Second

func (p Program) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args []string) error {
	path, err := p.Path()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(append(cmd.Environ(), "LC_ALL=C"), p.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.WaitDelay = outputWait
	killed := false // Wait returns after Cancel has
	isolate(cmd)
	cmd.Cancel = func() error {
		err := killGroup(cmd.Process)
		killed = err == nil
		return err
	}
	// PR_SET_PDEATHSIG is sent when the thread ends that has started the program
	// (prctl(2)), and not only when the process does: the thread is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err = cmd.Run(); err == nil {
		return nil
	}
	failed := &Error{Program: p.Name, Args: args, Status: -1, causes: []error{err}}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		failed.Status = exit.ExitCode()
	}
	if ended := context.Cause(ctx); ended != nil && (killed || cmd.Process == nil) && !errors.Is(err, ended) {
		failed.causes = append(failed.causes, ended)
	}
	return failed
}
