package metadata_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/test/seccomptest"
)

// faultyDisk is the disk under one file, for the system calls of one thread: the kernel
// asks about each of them (seccomp_unotify(2)) before it does it. It knows what the
// disk holds, which is not what the page cache shows: a page whose write-back failed
// counts as written (mm/filemap.c, file_check_and_advance_wb_err), and is not on the
// disk until somebody writes it again.
type faultyDisk struct {
	t    testing.TB
	path string
	file string // what it is called at this moment

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
	s := &faultyDisk{t: t, path: path, dirty: map[int64]bool{}, fault: noFault}
	if content, err := os.ReadFile(path); err == nil {
		s.disk = content
	}
	seccomptest.Intercept(t, func(c seccomptest.Call) seccomptest.Answer {
		result, errno, goOn := s.decide(c)
		return seccomptest.Answer{Do: goOn, Result: result, Errno: errno}
	}, unix.SYS_PWRITE64, unix.SYS_FDATASYNC, unix.SYS_FSYNC, unix.SYS_FTRUNCATE, unix.SYS_PREAD64)
	return s
}

// decide says what becomes of a system call: the kernel does it, or it has that result.
func (s *faultyDisk) decide(c seccomptest.Call) (result int64, errno syscall.Errno, goOn bool) {
	fd := strconv.Itoa(int(int32(c.Args[0])))
	target, err := os.Readlink("/proc/self/fd/" + fd)
	if err != nil || target != s.path && target != s.path+".making" { // while it is made
		return 0, 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file = target
	if c.Number == unix.SYS_PREAD64 {
		return s.read(c, fd)
	}
	at := s.calls
	s.calls++
	fails := s.fault.call >= 0 && (at == s.fault.call || s.fault.lasts && at > s.fault.call)
	if fails && s.fired == "" {
		s.fired = map[uint32]string{unix.SYS_PWRITE64: "pwrite", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FSYNC: "fsync"}[c.Number]
	}
	switch c.Number {
	case unix.SYS_PWRITE64:
		from, n := int64(c.Args[3]), int64(c.Args[2])
		if fails {
			return s.short(c.Args[1], from, n)
		}
		s.touch(from, n)
		return 0, 0, true
	case unix.SYS_FTRUNCATE:
		if fails {
			return 0, s.fault.errno, false
		}
		return 0, 0, true
	}
	s.flush(fails)
	if fails {
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
func (s *faultyDisk) flush(fails bool) {
	cache, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Errorf("look at the page cache: %v", err)
		return
	}
	if fails && s.fault.kept == keptNothing {
		clear(s.dirty)
		return
	}
	s.disk = append(s.disk, make([]byte, max(0, len(cache)-len(s.disk)))...)[:len(cache)]
	for _, odd := range []bool{true, false} {
		if !odd && fails && s.fault.kept == keptSome {
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
func (s *faultyDisk) read(c seccomptest.Call, fd string) (int64, syscall.Errno, bool) {
	info, err := os.ReadFile("/proc/self/fdinfo/" + fd)
	if err != nil {
		return 0, 0, true
	}
	_, octal, _ := strings.Cut(string(info), "flags:")
	flags, _ := strconv.ParseInt(strings.Fields(octal)[0], 8, 64)
	if flags&unix.O_DIRECT == 0 {
		return 0, 0, true
	}
	from := min(int64(c.Args[3]), int64(len(s.disk)))
	part := s.disk[from:min(from+int64(c.Args[2]), int64(len(s.disk)))]
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err == nil {
		_, err = memory.WriteAt(part, int64(c.Args[1]))
		err = errors.Join(err, memory.Close())
	}
	if err != nil {
		s.t.Errorf("answer a direct read: %v", err)
	}
	return int64(len(part)), 0, false
}

// inject has the disk go wrong from now on; repair says what went wrong, if something did.
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
