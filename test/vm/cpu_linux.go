package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// A cpuClaim reserves one host CPU among all machines of this user. User-Mode
// Linux pinned to one CPU is about four times faster than when its two sides
// move between CPUs, and two machines on one CPU would halve each other.
type cpuClaim struct {
	cpu  int
	lock *os.File
}

// claimCPU takes the highest CPU that no other machine has. When all are taken
// it shares one, chosen by the process id.
func claimCPU(folder string) (*cpuClaim, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("read the CPU affinity: %w", err)
	}
	var cpus []int
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			cpus = append([]int{cpu}, cpus...)
		}
	}
	for _, cpu := range cpus {
		lock, err := tryLock(filepath.Join(folder, fmt.Sprintf("cpu%d.lock", cpu)))
		if err == nil {
			return &cpuClaim{cpu: cpu, lock: lock}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
	}
	return &cpuClaim{cpu: cpus[os.Getpid()%len(cpus)]}, nil
}

// run calls fn with the calling thread bound to the claimed CPU. A process that
// fn starts inherits the binding.
func (c *cpuClaim) run(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the CPU affinity: %w", err)
	}
	one.Set(c.cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("bind to CPU %d: %w", c.cpu, err)
	}
	err := fn()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// release gives the CPU up.
func (c *cpuClaim) release() {
	if c.lock != nil {
		c.lock.Close()
	}
}

// tryLock opens path and locks it, or fails with EWOULDBLOCK when another
// process holds it. Closing the file, or dying, unlocks it.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}
