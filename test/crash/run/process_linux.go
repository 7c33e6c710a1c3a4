package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// runProcess runs a command until it ends or ctx does, with everything that it writes
// going to log. At the end of ctx it gets a SIGTERM, and a SIGKILL when it has not ended
// within grace. It is in a process group of its own: a terminal's Ctrl-C reaches the
// scheduler alone, and what the command leaves running is killed. When the scheduler
// itself is killed, the kernel kills the command.
func runProcess(ctx context.Context, cmd *exec.Cmd, log *os.File, grace time.Duration) error {
	// PR_SET_PDEATHSIG of prctl(2) is about the thread that forks, not its process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	group := -cmd.Process.Pid
	defer func() { _ = syscall.Kill(group, syscall.SIGKILL) }() // of a group without processes: ESRCH
	var status error
	ended := make(chan struct{})
	go func() { status = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
		return status
	case <-ctx.Done():
	}
	_ = syscall.Kill(group, syscall.SIGTERM) // it may have ended
	select {
	case <-ended: // it was told to end; how it did says nothing
	case <-time.After(grace):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-ended
	}
	return context.Cause(ctx)
}
