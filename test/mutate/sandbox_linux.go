package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// exitSandbox is the status of a sandbox that could not be made.
const exitSandbox = 125

// memory bounds the address space of a test program: a mutant that allocates
// without end must not take the machine with it.
const memory = 8 << 30

// result is one run of a test program.
type result struct {
	status    int
	stopped   bool // by one of the limits
	cpu, wall time.Duration
	output    string // its beginning
}

// test runs the test program in dir, with limits multiplied by times.
func (j *job) test(ctx context.Context, dir, program string, times int) (result, error) {
	tmp, err := os.MkdirTemp(j.Scratch, "tmp-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(tmp)
	cpu, wall := time.Duration(times)*j.CPU, time.Duration(times)*j.Wall
	limited, cancel := context.WithTimeout(ctx, wall)
	defer cancel()
	cmd := exec.CommandContext(limited, j.Program, tmp, strconv.Itoa(int(cpu/time.Second)+1), program,
		"-test.paniconexit0", "-test.failfast", "-test.timeout=0")
	cmd.Args[0] = "sandbox"
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(j.Env), "TMPDIR="+tmp, "GOTMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Minute // a descendant may hold the output open
	out := &beginning{left: 1 << 20}
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	err = cmd.Run()
	r := result{wall: time.Since(start), output: out.String()}
	if cmd.ProcessState == nil {
		return r, err
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever is left
	r.status = cmd.ProcessState.ExitCode()
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.stopped = limited.Err() != nil || r.status < 0 && r.cpu >= cpu
	if err := ctx.Err(); err != nil {
		return r, err
	}
	if r.status == exitSandbox {
		return r, errors.New(r.output)
	}
	return r, nil
}

// beginning keeps the first bytes that are written.
type beginning struct {
	bytes.Buffer
	left int
}

func (b *beginning) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}

// sandbox becomes the program of args[2:], which may write into the folder args[0]
// only and use args[1] seconds of processor time. It returns when that cannot be.
func sandbox(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: sandbox FOLDER SECONDS PROGRAM ARGS")
	}
	seconds, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := readOnlyBut(args[0]); err != nil {
			return err
		}
	}
	// With both limits equal the kernel ends the program by SIGKILL: a Go program
	// ignores SIGXCPU.
	for which, value := range map[int]uint64{unix.RLIMIT_CPU: seconds, unix.RLIMIT_AS: memory, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(which, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set limit %d to %d: %w", which, value, err)
		}
	}
	return fmt.Errorf("run %s: %w", args[2], syscall.Exec(args[2], append([]string{filepath.Base(args[2])}, args[3:]...), os.Environ()))
}

// readOnlyBut makes everything in this mount namespace read-only but one folder.
func readOnlyBut(folder string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(folder, folder, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", folder, err)
	}
	if err := unix.MountSetattr(-1, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make mounts read-only: %w", err)
	}
	if err := unix.MountSetattr(-1, folder, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make %s writable: %w", folder, err)
	}
	return nil
}
