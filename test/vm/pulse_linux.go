package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guardPulseVariable makes a guard give its machine a pulse.
const guardPulseVariable = "VENEER_VM_GUARD_PULSE"

// pulse is how long a machine may stand still before it goes on.
const pulse = 50 * time.Millisecond

// keepTime sends cmd SIGALRM again and again until end is closed.
//
// User-Mode Linux programs one timer of the host for the next moment at which it
// has something to do, and its signal is that moment. unblock_signals in
// arch/um/os-Linux/signal.c (6.1) takes all pending signals at once and then drops
// a SIGALRM if the timer's handler is still active: a softirq that runs long enough
// for the next moment to come loses it. Nothing programs the timer again, and a
// machine with nothing but timers to wait for sleeps for ever. A signal from outside
// makes it look at its clock; one too many does nothing.
func keepTime(cmd *exec.Cmd, end <-chan struct{}) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
			if catches(cmd.Process.Pid, syscall.SIGALRM) {
				_ = cmd.Process.Signal(syscall.SIGALRM) // it may have ended
			}
		}
	}
}

// catches tells whether the process has a handler for sig: before it has one, the
// signal would end it.
func catches(pid int, sig syscall.Signal) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), "\nSigCgt:")
	mask, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	caught, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && caught&(1<<(sig-1)) != 0
}
