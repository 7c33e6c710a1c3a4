package command

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate gives the program a process group of its own and has the kernel kill it when
// the thread that starts it ends.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup kills a program that was started by isolate and all processes that it has
// started, unless they left its group.
func killGroup(leader *os.Process) error {
	// A leader that has been waited for may have lent its number to another process.
	if err := leader.Signal(syscall.Signal(0)); err != nil {
		return err
	}
	return syscall.Kill(-leader.Pid, syscall.SIGKILL)
}
