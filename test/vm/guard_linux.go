package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guardVariable makes this program a guard. Its value counts the files to hand on.
const guardVariable = "VENEER_VM_GUARD"

// guardMountsVariable makes a guard give its machine a mount namespace.
const guardMountsVariable = "VENEER_VM_GUARD_MOUNTS"

// guardMain starts the machine named by the arguments and never returns. It ends
// the machine when its standard input, the lifeline, closes: the host's side
// closes it on purpose, or the kernel does when the host's side was killed.
//
// User-Mode Linux is a handful of processes that trace one another, and the death
// of the first does not end the rest. The guard is their reaper: whichever of
// them dies first, the others remain its descendants, so it can end them all and
// never mistakes a stranger for one of them.
func guardMain(files string) {
	host := os.Getppid()
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM)
	if err := guard(files); err != nil {
		fmt.Fprintln(os.NewFile(fdConsole, "console"), "vm: guard:", err)
	}
	if os.Getppid() != host { // nobody else is left to clean up
		if dir, err := os.Getwd(); err == nil {
			os.RemoveAll(dir)
		}
	}
	os.Exit(0)
}

func guard(files string) error {
	count, err := strconv.Atoi(files)
	if err != nil {
		return err
	}
	mounts, timed := os.Getenv(guardMountsVariable) != "", os.Getenv(guardPulseVariable) != ""
	for _, name := range []string{guardVariable, guardMountsVariable, guardPulseVariable} {
		_ = os.Unsetenv(name)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a reaper: %w", err)
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	for fd := range count {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fdFrames+fd), "machine"))
	}
	// What the program itself has to say, before or without a console.
	cmd.Stdout, cmd.Stderr = cmd.ExtraFiles[fdConsole-fdFrames], cmd.ExtraFiles[fdConsole-fdFrames]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if mounts {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // and makes / private in it
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the machine: %w", err)
	}
	for _, file := range cmd.ExtraFiles {
		file.Close() // so that the host's side sees the machine's ends close
	}
	cut, ended := make(chan struct{}), make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(cut) }()
	go func() { _ = cmd.Wait(); close(ended) }()
	if timed {
		go keepTime(cmd, ended)
	}
	select {
	case <-cut:
	case <-ended:
	}
	endDescendants()
	return nil
}

// endDescendants kills and reaps until this process has no descendant. A list of
// processes is never one moment's truth, but a reaper without children has no
// other descendants either.
func endDescendants() {
	for {
		for _, pid := range descendants() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.ECHILD) {
				return
			}
			if pid <= 0 && !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		<-time.After(2 * time.Millisecond)
	}
}

// descendants lists the processes below this one, ended or not.
func descendants() []int {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		data, err := os.ReadFile(stat)
		if err != nil {
			continue // it is gone
		}
		// pid (name) state ppid ...; the name may hold anything.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	var found []int
	for pid := range parents {
		for up, ok := parents[pid]; ok; up, ok = parents[up] {
			if up == os.Getpid() {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}
