package seccomptest

import (
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/ioctl"
)

// A Call is a system call that has not been done yet: its number and its arguments
// (struct seccomp_notif of linux/seccomp.h).
type Call struct {
	Number uint32
	Args   [6]uint64
}

// An Answer says what becomes of a call: the kernel does it, or it returns Result, or
// fails with Errno.
type Answer struct {
	Do     bool
	Result int64
	Errno  syscall.Errno
}

// Intercept has decide called, by a goroutine of its own, for each system call of this
// thread that has one of the numbers, until the test ends. Without a kernel that can,
// the test is skipped, and fails where CI is set.
func Intercept(t testing.TB, decide func(Call) Answer, numbers ...uint32) {
	t.Helper()
	runtime.LockOSThread()
	listener, err := listen(numbers)
	if err != nil && os.Getenv("CI") == "" {
		t.Logf("the kernel does not tell of system calls: %v", err)
		t.Skip("needs Linux 5.19, and seccomp(2) allowed")
	}
	require.NoError(t, err, "the kernel does not tell of system calls")
	awake, stop, err := os.Pipe()
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() { serve(t, listener, awake, decide) })
	t.Cleanup(func() {
		require.NoError(t, stop.Close())
		done.Wait()
		require.NoError(t, errors.Join(awake.Close(), unix.Close(listener)))
	})
}

// listen installs the filter and gives the descriptor on which the kernel asks.
func listen(numbers []uint32) (int, error) {
	// struct sock_fprog, and then the program: load the number, compare, ask or allow.
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Munmap(memory) }() // the kernel has a copy
	order := binary.NativeEndian
	var program []byte
	add := func(code uint16, yes, no uint8, k uint32) {
		program = order.AppendUint32(append(order.AppendUint16(program, code), yes, no), k)
	}
	add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0)
	for i, n := range numbers {
		add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint8(len(numbers)-i), 0, n)
	}
	add(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)
	add(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_USER_NOTIF)
	address := reflect.ValueOf(memory).Pointer()
	order.PutUint16(memory, uint16(len(program)/8))
	order.PutUint64(memory[8:], uint64(address)+16)
	copy(memory[16:], program)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, address)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// serve answers until awake is closed.
func serve(t testing.TB, listener int, awake *os.File, decide func(Call) Answer) {
	order := binary.NativeEndian
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(awake.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		if fds[1].Revents != 0 {
			return
		}
		raw := make([]byte, 80)
		if err := ioctl.Do(uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, raw); err != nil {
			continue // a signal came first, and the call is made again
		}
		call := Call{Number: order.Uint32(raw[16:])}
		for i := range call.Args {
			call.Args[i] = order.Uint64(raw[32+8*i:])
		}
		answer := decide(call)
		reply := order.AppendUint64(append([]byte(nil), raw[:8]...), uint64(answer.Result))
		reply = order.AppendUint32(reply, uint32(-int32(answer.Errno)))
		flags := uint32(0)
		if answer.Do {
			flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		reply = order.AppendUint32(reply, flags)
		if err := ioctl.Do(uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, reply); err != nil {
			t.Errorf("answer a system call: %v", err)
			return
		}
	}
}
