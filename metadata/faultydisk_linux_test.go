package metadata_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/ioctl"
)

// faultyDisk is the disk under one file, for the system calls of one thread: the kernel
// asks about each of them (seccomp_unotify(2)) before it does it. It knows what the
// disk holds, which is not what the page cache shows: a page whose write-back failed
// counts as written (mm/filemap.c, file_check_and_advance_wb_err), and is not on the
// disk until somebody writes it again.
type faultyDisk struct {
	t        testing.TB
	path     string
	file     string // what it is called at this moment
	listener int
	stop     *os.File

	mu    sync.Mutex
	disk  []byte
	dirty map[int64]bool // pages that the cache has and the disk has not
	fault diskFault
	calls int    // that change the disk, since fault was set
	fired string // the call that failed first, if one did
	cuts  *[][]byte
}

// diskFault is what goes wrong: the how manyth call, with which errno, once or from then
// on. A flush that fails may have written everything, nothing or something.
type diskFault struct {
	call  int
	errno syscall.Errno
	lasts bool
	kept  kept
}

type kept string

const (
	keptNothing kept = "nothing kept"
	keptAll     kept = "everything kept"
	keptSome    kept = "every second page kept"
)

func (i diskFault) String() string {
	s := fmt.Sprintf("call %d, %s, %s", i.call, unix.ErrnoName(i.errno), i.kept)
	if i.lasts {
		s += ", and so on"
	}
	return s
}

var noFault = diskFault{call: -1}

const cachePage = 4096

// newFaultyDisk makes this test's thread one whose file operations are looked at. The
// thread ends with the test, and nobody else comes to it.
func newFaultyDisk(t *testing.T, path string) *faultyDisk {
	t.Helper()
	runtime.LockOSThread()
	s := &faultyDisk{t: t, path: path, dirty: map[int64]bool{}, fault: noFault}
	if content, err := os.ReadFile(path); err == nil {
		s.disk = content
	}
	listener, err := listen(unix.SYS_PWRITE64, unix.SYS_FDATASYNC, unix.SYS_FSYNC, unix.SYS_FTRUNCATE, unix.SYS_PREAD64)
	if err != nil && os.Getenv("CI") == "" {
		t.Logf("the kernel does not tell of system calls: %v", err)
		t.Skip("needs Linux 5.19, and seccomp(2) allowed")
	}
	require.NoError(t, err, "the kernel does not tell of system calls")
	s.listener = listener
	var awake *os.File
	awake, s.stop, err = os.Pipe()
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() { s.answer(awake) })
	t.Cleanup(func() {
		require.NoError(t, s.stop.Close())
		done.Wait()
		require.NoError(t, errors.Join(awake.Close(), unix.Close(listener)))
	})
	return s
}

// listen has the kernel ask about system calls of this thread.
func listen(numbers ...uint32) (int, error) {
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

// request is struct seccomp_notif of linux/seccomp.h.
type request struct {
	id     uint64
	number uint32
	args   [6]uint64
}

func (s *faultyDisk) answer(awake *os.File) {
	order := binary.NativeEndian
	for {
		fds := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}, {Fd: int32(awake.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		if fds[1].Revents != 0 {
			return
		}
		raw := make([]byte, 80)
		if err := ioctl.Do(uintptr(s.listener), unix.SECCOMP_IOCTL_NOTIF_RECV, raw); err != nil {
			continue // a signal came first, and the call is made again
		}
		r := request{id: order.Uint64(raw), number: order.Uint32(raw[16:])}
		for i := range r.args {
			r.args[i] = order.Uint64(raw[32+8*i:])
		}
		result, errno, goOn := s.decide(r)
		reply := order.AppendUint64(order.AppendUint64(nil, r.id), uint64(result))
		reply = order.AppendUint32(reply, uint32(-int32(errno)))
		flags := uint32(0)
		if goOn {
			flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		reply = order.AppendUint32(reply, flags)
		if err := ioctl.Do(uintptr(s.listener), unix.SECCOMP_IOCTL_NOTIF_SEND, reply); err != nil {
			s.t.Errorf("answer a system call: %v", err)
			return
		}
	}
}

// decide says what becomes of a system call: the kernel does it, or it has that result.
func (s *faultyDisk) decide(r request) (result int64, errno syscall.Errno, goOn bool) {
	fd := strconv.Itoa(int(int32(r.args[0])))
	target, err := os.Readlink("/proc/self/fd/" + fd)
	if err != nil || target != s.path && target != s.path+".making" { // while it is made
		return 0, 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = target
	if r.number == unix.SYS_PREAD64 {
		return s.read(r, fd)
	}
	at := s.calls
	s.calls++
	sick := s.fault.call >= 0 && (at == s.fault.call || s.fault.lasts && at > s.fault.call)
	if sick && s.fired == "" {
		s.fired = map[uint32]string{unix.SYS_PWRITE64: "pwrite", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FSYNC: "fsync"}[r.number]
	}
	switch r.number {
	case unix.SYS_PWRITE64:
		from, n := int64(r.args[3]), int64(r.args[2])
		if sick {
			return s.short(r.args[1], from, n)
		}
		s.touch(from, n)
		return 0, 0, true
	case unix.SYS_FTRUNCATE:
		if sick {
			return 0, s.fault.errno, false
		}
		return 0, 0, true
	}
	s.flush(sick)
	if sick {
		return 0, s.fault.errno, false
	}
	return 0, 0, false
}

func (s *faultyDisk) touch(from, n int64) {
	for page := from / cachePage; page*cachePage < from+n; page++ {
		s.dirty[page] = true
	}
}

// short is a write that fails, or, where something is to be kept, ends early. What is
// left of it is written by another call, which fails if the diskFault lasts.
func (s *faultyDisk) short(address uint64, from, n int64) (int64, syscall.Errno, bool) {
	if s.fault.kept == keptNothing || n < 2 {
		return 0, s.fault.errno, false
	}
	half := make([]byte, n/2)
	memory, err := os.Open("/proc/self/mem")
	if err == nil {
		_, err = memory.ReadAt(half, int64(address))
		err = errors.Join(err, memory.Close())
	}
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(s.file, os.O_WRONLY, 0); err == nil {
			_, err = f.WriteAt(half, from)
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		s.t.Errorf("write half of what was to be written: %v", err)
	}
	s.touch(from, n/2)
	s.fault.call, s.fault.kept = s.calls, keptNothing // the rest of it
	return n / 2, 0, false
}

// flush writes the dirty pages to the disk, or those that a failing flush keeps. Either
// way they count as clean.
func (s *faultyDisk) flush(sick bool) {
	cache, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Errorf("look at the page cache: %v", err)
		return
	}
	if sick && s.fault.kept == keptNothing {
		clear(s.dirty)
		return
	}
	s.disk = append(s.disk, make([]byte, max(0, len(cache)-len(s.disk)))...)[:len(cache)]
	for _, odd := range []bool{true, false} {
		if !odd && sick && s.fault.kept == keptSome {
			break
		}
		for page := range s.dirty {
			if from := page * cachePage; from < int64(len(cache)) && odd == (page%2 == 1) {
				to := min(from+cachePage, int64(len(cache)))
				copy(s.disk[from:to], cache[from:to])
			}
		}
		if s.cuts != nil {
			*s.cuts = append(*s.cuts, bytes.Clone(s.disk))
		}
	}
	clear(s.dirty)
}

// watch adds what the disk holds in the middle and at the end of each flush, until
// stopped.
func (s *faultyDisk) watch(cuts *[][]byte) (stop func()) {
	set := func(to *[][]byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cuts = to
	}
	set(cuts)
	return func() { set(nil) }
}

// read is a read past the page cache: of what is on the disk.
func (s *faultyDisk) read(r request, fd string) (int64, syscall.Errno, bool) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + fd)
	if err != nil {
		return 0, 0, true
	}
	_, octal, _ := strings.Cut(string(info), "flags:")
	flags, _ := strconv.ParseInt(strings.Fields(octal)[0], 8, 64)
	if flags&unix.O_DIRECT == 0 {
		return 0, 0, true
	}
	from := min(int64(r.args[3]), int64(len(s.disk)))
	part := s.disk[from:min(from+int64(r.args[2]), int64(len(s.disk)))]
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err == nil {
		_, err = memory.WriteAt(part, int64(r.args[1]))
		err = errors.Join(err, memory.Close())
	}
	if err != nil {
		s.t.Errorf("answer a direct read: %v", err)
	}
	return int64(len(part)), 0, false
}

// inject has the disk go wrong from now on; mend says what went wrong, if something did.
func (s *faultyDisk) inject(fault diskFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.calls, s.fired = fault, 0, ""
}

func (s *faultyDisk) repair() (fired string, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = noFault
	return s.fired, s.calls
}

// cutPower gives what is on the disk, and nothing that is in the cache alone.
func (s *faultyDisk) cutPower() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.disk)
}
