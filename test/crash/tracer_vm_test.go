package crash_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// tracer runs a program and kills it, as kill -9 does, right after a system call of
// its own that changed something. It sees every thread; the commands that the program
// runs, such as mkfs, live on, as they do after a kill.
type tracer struct {
	killAt int         // the how manyth; 0 never
	failAt int         // the how manyth fails with EIO and is not done; 0 never
	armed  atomic.Bool // calls count from now on

	calls  []string // that counted, and were done or failed on purpose
	failed string   // the call that failed on purpose
	killed bool
	status syscall.WaitStatus
}

// Read-only operations of the device-mapper (dm-ioctl.h), by the last byte of the
// request: version, list, status, deps, table status, versions, arm poll, target version.
var dmReads = map[uint64]bool{0: true, 2: true, 7: true, 11: true, 12: true, 13: true, 16: true, 17: true}

// changing names the system calls that change what another process, or the next boot,
// can see.
var changing = map[uint64]string{
	unix.SYS_IOCTL: "ioctl", unix.SYS_PWRITE64: "pwrite", unix.SYS_WRITE: "write", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync",
	unix.SYS_SYNCFS: "syncfs", unix.SYS_RENAME: "rename", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2",
	unix.SYS_UNLINK: "unlink", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIR: "mkdir", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate", unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount",
	unix.SYS_FSMOUNT: "fsmount", unix.SYS_FSCONFIG: "fsconfig", unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_LINKAT: "linkat",
	unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_SYMLINK: "symlink", unix.SYS_MKNODAT: "mknodat", unix.SYS_FCHOWN: "fchown", unix.SYS_FCHOWNAT: "fchownat",
	unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_UTIMENSAT: "utimensat", unix.SYS_FSETXATTR: "fsetxattr",
	unix.SYS_COPY_FILE_RANGE: "copy_file_range", unix.SYS_SENDFILE: "sendfile", unix.SYS_OPENAT: "openat",
	unix.SYS_BIND: "bind", unix.SYS_LINK: "link",
}

// Where struct user_regs_struct of x86-64 has what is needed. User-Mode Linux gives
// single words only.
const (
	regResult = 10 * 8 // rax
	regThird  = 12 * 8 // rdx
	regSecond = 13 * 8 // rsi
	regFirst  = 14 * 8 // rdi
	regNumber = 15 * 8 // orig_rax
)

func register(tid int, at uintptr) (uint64, bool) {
	var b [8]byte
	n, err := unix.PtracePeekUser(tid, at, b[:])
	return binary.NativeEndian.Uint64(b[:]), err == nil && n == len(b)
}

// noCall is a number that no system call has: the kernel does nothing.
const noCall = ^uint64(0)

func setRegister(tid int, at uintptr, value uint64) bool {
	n, err := unix.PtracePokeUser(tid, at, binary.NativeEndian.AppendUint64(nil, value))
	return err == nil && n == 8
}

// counts says whether a system call that begins is one that changes something.
func counts(tid int) (string, bool) {
	number, ok := register(tid, regNumber)
	name, known := changing[number]
	if !ok || !known {
		return "", false
	}
	first, ok1 := register(tid, regFirst)
	second, ok2 := register(tid, regSecond)
	third, ok3 := register(tid, regThird)
	switch {
	case !ok1 || !ok2 || !ok3:
		return "", false
	case number == unix.SYS_IOCTL && second>>8&0xff == 0xfd:
		return name, !dmReads[second&0xff]
	case number == unix.SYS_OPENAT:
		return name, third&unix.O_CREAT != 0
	case number == unix.SYS_WRITE:
		return name, first > 2 && third != 8 && third != 1 // the runtime wakes itself with eight bytes, or one
	}
	return name, true
}

// run starts the program and waits for its end. started hears its process id.
func (t *tracer) run(path string, args []string, out *os.File, started func(pid int)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := os.StartProcess(path, append([]string{path}, args...), &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{nil, out, out}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return err
	}
	pid := p.Pid
	if _, err := syscall.Wait4(pid, &t.status, unix.WALL, nil); err != nil {
		return err
	}
	if err := syscall.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return err
	}
	if started != nil {
		started(pid)
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return err
	}
	threads := map[int]*thread{}
	for {
		tid, err := syscall.Wait4(-1, &t.status, unix.WALL, nil)
		if err != nil {
			return fmt.Errorf("wait for the traced program: %w", err)
		}
		if t.status.Exited() || t.status.Signaled() {
			if tid == pid {
				return nil
			}
			continue
		}
		if t.status.Stopped() {
			t.stopped(pid, tid, threads)
		}
	}
}

// thread is one thread of the program: between the beginning and the end of a system
// call, or not.
type thread struct {
	inside bool
	name   string // of the call, if it counts
	fails  bool   // on purpose
}

// stopped looks at a stop and lets the thread go on. Errors say that it is dead by now.
func (t *tracer) stopped(pid, tid int, threads map[int]*thread) {
	th := threads[tid]
	if th == nil {
		th = &thread{}
		threads[tid] = th
	}
	pass := 0
	switch sig := t.status.StopSignal(); sig {
	case syscall.SIGTRAP | 0x80:
		if th.inside = !th.inside; th.inside {
			th.name, th.fails = "", false
			if t.armed.Load() {
				if name, ok := counts(tid); ok {
					th.name = name
					th.fails = len(t.calls)+1 == t.failAt && t.failed == "" && setRegister(tid, regNumber, noCall)
				}
			}
		} else if th.fails {
			if setRegister(tid, regResult, ^uint64(syscall.EIO)+1) {
				t.failed = th.name
				t.calls = append(t.calls, th.name)
			}
		} else if result, ok := register(tid, regResult); ok && th.name != "" && int64(result) >= 0 {
			t.calls = append(t.calls, th.name)
			if len(t.calls) == t.killAt {
				t.killed = true
				_ = syscall.Kill(pid, syscall.SIGKILL) // it is stopped, so it is there
			}
		}
	case syscall.SIGTRAP, syscall.SIGSTOP:
	default:
		pass = int(sig)
	}
	_ = syscall.PtraceSyscall(tid, pass) // it may have been killed
}
