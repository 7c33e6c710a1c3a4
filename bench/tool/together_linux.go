package tool

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieTogether has the kernel kill the command when we are killed: a workload that went
// on would hold what is to be cleaned up. PR_SET_PDEATHSIG is about the thread that
// starts the command, which is kept until end is called.
func dieTogether(cmd *exec.Cmd) (end func()) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return runtime.UnlockOSThread
}
