package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drainGrace is how long output may still arrive after CMD ended, from children
// that it left running with its streams. What CMD itself wrote arrives in any case.
const drainGrace = 200 * time.Millisecond

// runCommand runs CMD to its end and relays what it writes. As the first process
// of a machine it also waits for every orphan.
func (g *guest) runCommand() *result {
	path, err := g.lookCommand()
	if err != nil {
		status := exitCannotRun
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			status = exitNotFound
		}
		return &result{Status: status, Error: err.Error()}
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return &result{Status: exitMachine, Error: err.Error()}
	}
	defer stdin.Close()

	var relays sync.WaitGroup
	var readers []*os.File
	stream := func(kind frameKind) (*os.File, error) {
		r, w, err := os.Pipe()
		if err == nil {
			readers = append(readers, r)
			relays.Go(func() { g.relay(kind, r) })
		}
		return w, err
	}
	stdout, err := stream(frameStdout)
	if err != nil {
		return &result{Status: exitMachine, Error: err.Error()}
	}
	stderr := stdout
	if !g.job.Merge {
		if stderr, err = stream(frameStderr); err != nil {
			return &result{Status: exitMachine, Error: err.Error()}
		}
	}
	pid, err := syscall.ForkExec(path, g.job.Args, &syscall.ProcAttr{
		Dir: g.job.Dir, Env: g.environment(),
		Files: []uintptr{stdin.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	stdout.Close()
	stderr.Close()
	if err != nil {
		return &result{Status: exitCannotRun, Error: fmt.Sprintf("run %s: %v", path, err)}
	}
	go g.passSignals(pid)
	status := reapUntil(pid)

	drained := make(chan struct{})
	go func() { relays.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(drainGrace):
		for _, r := range readers {
			_ = r.SetReadDeadline(time.Now())
		}
		<-drained
	}
	return &result{Status: status}
}

// lookCommand finds CMD as the caller's shell would, from the job's directory.
func (g *guest) lookCommand() (string, error) {
	if err := os.Chdir(g.job.Dir); err != nil {
		return "", fmt.Errorf("enter the working directory: %w", err)
	}
	for _, pair := range g.job.Env {
		if path, ok := strings.CutPrefix(pair, "PATH="); ok {
			_ = os.Setenv("PATH", path)
		}
	}
	path, err := exec.LookPath(g.job.Args[0])
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	return path, err
}

func (g *guest) relay(kind frameKind, r *os.File) {
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && g.frames.write(kind, buf[:n]) != nil {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			g.relayRest(kind, r)
			return
		}
		if err != nil {
			return
		}
	}
}

// relayRest passes on what is in the pipe. All that CMD wrote and was not read yet is,
// since CMD has ended; what its children go on to write is left alone.
func (g *guest) relayRest(kind frameKind, r *os.File) {
	raw, err := r.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		left, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ) // FIONREAD of pipe(7)
		for buf := make([]byte, 32<<10); err == nil && left > 0; {
			var n int
			if n, err = unix.Read(int(fd), buf[:min(left, len(buf))]); n <= 0 || g.frames.write(kind, buf[:n]) != nil {
				return
			}
			left -= n
		}
	})
}

// passSignals sends CMD's process group the signals that arrive on the channel.
func (g *guest) passSignals(pid int) {
	buf := make([]byte, 1)
	for {
		if _, err := g.signals.Read(buf); err != nil {
			return
		}
		_ = syscall.Kill(-pid, syscall.Signal(buf[0]))
	}
}

// reapUntil waits for children until pid ended, and returns its status.
func reapUntil(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return exitMachine
		case ended != pid:
		case status.Signaled():
			return exitBySignal + int(status.Signal())
		case status.Exited():
			return status.ExitStatus()
		}
	}
}

// overridden tells whether one of the NAME=VALUE pairs in ours replaces pair.
func overridden(pair string, ours []string) bool {
	name, _, _ := strings.Cut(pair, "=")
	for _, our := range ours {
		if strings.HasPrefix(our, name+"=") {
			return true
		}
	}
	return false
}
