package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A backend knows one way to run a job under a kernel that has dm-thin.
type backend interface {
	name() string
	missing(*options) error // nil when the backend can run here, else what it lacks
	start(*boot) (*machine, error)
}

// backends in the order in which auto tries them.
var backends = []backend{native{}, uml{}, qemu{}}

// A boot is everything a backend needs to start a machine.
type boot struct {
	options *options
	job     *job
	run     *runDir
	cpu     *cpuClaim
	scratch *os.File
	watch   func(line string) // called with each line of the console
}

// overlayDirs become writable in a machine; what is written there is forgotten.
var overlayDirs = []string{"/etc", "/var", "/opt", "/root", "/home", "/tmp", "/mnt", "/srv"}

// How long a machine may take to boot, CMD to end by itself after a signal, and
// the machine to switch itself off after CMD's result. Booting takes two seconds, or
// half a minute in an emulation, and many times that on a machine with other work.
const (
	bootPatience = 15 * time.Minute
	signalGrace  = 5 * time.Second
	haltGrace    = 20 * time.Second
)

func hostMain(args []string, stdout, stderr *os.File) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "vm:", err)
		return exitUsageError
	}
	status, err := runJob(o, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "vm:", err)
	}
	return status
}

func chooseBackend(o *options) (backend, error) {
	var lacks []string
	for _, b := range backends {
		if o.backend != "auto" && o.backend != b.name() {
			continue
		}
		err := b.missing(o)
		if err == nil {
			return b, nil
		}
		lacks = append(lacks, err.Error())
	}
	if len(lacks) == 0 {
		return nil, fmt.Errorf("unknown backend %q: say auto, native, uml or qemu", o.backend)
	}
	return nil, fmt.Errorf("no kernel with dm-thin can be run here: install the package user-mode-linux, or qemu and a distribution kernel (%s)", strings.Join(lacks, "; "))
}

// runJob boots a machine, relays CMD's output and returns the exit status. An
// error explains a status that is not CMD's own.
func runJob(o *options, stdout, stderr *os.File) (status int, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(signals)

	b, err := chooseBackend(o)
	if err != nil {
		return exitMachine, err
	}
	base, err := baseDir()
	if err != nil {
		return exitMachine, err
	}
	run, err := newRunDir(base)
	if err != nil {
		return exitMachine, err
	}
	defer func() { err = errors.Join(err, run.remove()) }()
	cpu, err := claimCPU(base)
	if err != nil {
		return exitMachine, err
	}
	defer cpu.release()
	scratch, err := newScratch(run.path, o.scratch)
	if err != nil {
		return exitMachine, err
	}
	defer scratch.Close()

	dir, err := os.Getwd()
	if err != nil {
		return exitMachine, err
	}
	if o.out != "" {
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return exitMachine, fmt.Errorf("make the output folder: %w", err)
		}
	}
	redirected, outputs := redirectOutputs(o.args, dir, run.files())
	if err := makeOutputFolders(run.files(), outputs); err != nil {
		return exitMachine, err
	}
	machine := &boot{
		options: o, run: run, cpu: cpu, scratch: scratch,
		job: &job{
			Backend: b.name(), Args: redirected, Dir: dir, Env: os.Environ(), Merge: sameFile(stdout, stderr),
			Out: o.out, Files: run.files(), Overlays: existing(overlayDirs), LeakCheck: o.leakCheck,
		},
		watch: func(line string) {
			if o.verbose {
				fmt.Fprintln(stderr, "vm: kernel:", line)
			}
		},
	}
	status, err = bootedAgain(func() (int, error) {
		m, err := b.start(machine)
		if err != nil {
			return exitMachine, err
		}
		return relay(m, o, signals, stdout, stderr)
	})
	return status, errors.Join(err, deliverOutputs(run.files(), outputs))
}

// earlyTimer is what User-Mode Linux 6.1 says when its timer fires before the kernel has a
// handler for it: um_timer in arch/um/kernel/time.c then calls a null pointer. That takes a
// host that is slow at the wrong moment, and happens before there is a process.
const earlyTimer = "Kernel panic - not syncing: Segfault with no mm"

var errEarlyTimer = errors.New("the kernel's timer fired before its handler was there")

// bootTries is how many boots end so before it is called an error.
const bootTries = 5

// bootedAgain boots again when a kernel's timer came too early: nothing of CMD has run.
func bootedAgain(boot func() (status int, err error)) (status int, err error) {
	for range bootTries {
		if status, err = boot(); !errors.Is(err, errEarlyTimer) {
			break
		}
	}
	return status, err
}

// relay passes CMD's output on until its result arrives, the time is up or this
// process is told to stop; then it sees to it that the machine is off.
func relay(m *machine, o *options, signals <-chan os.Signal, stdout, stderr io.Writer) (int, error) {
	type end struct {
		result *result
		err    error
	}
	ended := make(chan end, 1)
	ready := make(chan struct{}, 1)
	go func() {
		r, err := readFrames(bufio.NewReader(m.frames), stdout, stderr, func() { ready <- struct{}{} })
		ended <- end{r, err}
	}()
	deadline := time.After(bootPatience)
	booting := true
	var power <-chan time.Time // set once CMD has been told to end
	var reason error
	var status int
	for {
		select {
		case e := <-ended:
			if e.result == nil {
				m.cut()
				if reason != nil {
					return status, reason
				}
				if booting && m.console.says(earlyTimer) {
					e.err = fmt.Errorf("%w: %w", errEarlyTimer, e.err)
				}
				return exitMachine, fmt.Errorf("%w:\n%s", e.err, m.console.tail())
			}
			m.waitHalt(haltGrace)
			if reason != nil {
				return status, reason
			}
			status, err := conclude(e.result, o)
			return status, errors.Join(err, m.console.complaint())
		case <-ready:
			booting = false
			deadline = time.After(o.timeout)
		case <-deadline:
			if booting {
				m.cut()
				return exitMachine, fmt.Errorf("the machine was not ready after %v, and this is what its kernel said last:\n%s", bootPatience, m.console.tail())
			}
			status, reason = exitTimeout, fmt.Errorf("%s ran longer than %v and was stopped", filepath.Base(o.args[0]), o.timeout)
			m.signal(syscall.SIGQUIT) // a Go program answers with its goroutines
			power = time.After(signalGrace)
		case sig := <-signals:
			if power != nil {
				power = time.After(0) // asked twice: now
				continue
			}
			number := sig.(syscall.Signal)
			status, reason = exitBySignal+int(number), fmt.Errorf("stopped by signal: %v", sig)
			m.signal(number)
			power = time.After(signalGrace)
		case <-power:
			m.cut() // ends the frames, and with them the loop
			power = nil
		}
	}
}

// readFrames relays output until the result. An error means that the channel
// ended, or made no sense, before that.
func readFrames(r io.Reader, stdout, stderr io.Writer, ready func()) (*result, error) {
	for {
		kind, payload, err := readFrame(r)
		if err != nil {
			return nil, fmt.Errorf("%w (%w), and this is what its kernel said last", errMachineDied, err)
		}
		switch kind {
		case frameStdout:
			_, err = stdout.Write(payload)
		case frameStderr:
			_, err = stderr.Write(payload)
		case frameResult:
			var res result
			if err := json.Unmarshal(payload, &res); err != nil {
				return nil, fmt.Errorf("the machine's result makes no sense: %w", err)
			}
			return &res, nil
		case frameReady:
			ready()
		}
		if err != nil {
			return nil, fmt.Errorf("write CMD's output: %w", err)
		}
	}
}

// conclude turns the guest's result into an exit status.
func conclude(res *result, o *options) (int, error) {
	switch {
	case res.Error != "":
		return res.Status, errors.New(res.Error)
	case len(res.Leaks) > 0:
		err := fmt.Errorf("%s left behind:\n  %s", filepath.Base(o.args[0]), strings.Join(res.Leaks, "\n  "))
		if res.Status != 0 {
			return res.Status, err
		}
		return exitLeak, err
	}
	return res.Status, nil
}

func sameFile(a, b *os.File) bool {
	left, err := a.Stat()
	if err != nil {
		return false
	}
	right, err := b.Stat()
	return err == nil && os.SameFile(left, right)
}

// existing keeps the folders that are there and are no links to elsewhere.
func existing(dirs []string) []string {
	return slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		info, err := os.Lstat(dir)
		return err != nil || !info.IsDir()
	})
}
