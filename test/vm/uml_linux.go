package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// umlModules is where Debian's package puts the modules of its UML kernel.
const umlModules = "/usr/lib/uml/modules"

// uml boots User-Mode Linux: the host's root as a read-only hostfs, one serial
// line as the channel, the console for the kernel's own words.
type uml struct{}

func (uml) name() string { return "uml" }

func (uml) missing(*options) error {
	if _, err := exec.LookPath("linux.uml"); err != nil {
		return errors.New("uml: linux.uml is not installed (package user-mode-linux)")
	}
	if _, err := (uml{}).modules(); err != nil {
		return err
	}
	return nil
}

// modules is the folder of the newest kernel's modules. The package holds one
// kernel at a time.
func (uml) modules() (string, error) {
	found, _ := filepath.Glob(filepath.Join(umlModules, "*", "modules.dep"))
	if len(found) == 0 {
		return "", fmt.Errorf("uml: no modules below %s (package user-mode-linux)", umlModules)
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func (u uml) start(b *boot) (*machine, error) {
	kernel, err := exec.LookPath("linux.uml")
	if err != nil {
		return nil, err
	}
	if b.job.ModuleDir, err = u.modules(); err != nil {
		return nil, err
	}
	b.job.Channel, b.job.Scratch, b.job.ScratchDir = "/dev/ttyS0", "/dev/ubda", "/mnt/scratch"
	jobFile, err := b.run.writeJob(b.job)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, path := range []string{self, jobFile} {
		if strings.ContainsAny(path, " \t\"") {
			return nil, fmt.Errorf("uml: the kernel's command line cannot hold the path %q: use a place without blanks", path)
		}
	}
	argv := []string{
		kernel,
		fmt.Sprintf("mem=%dM", b.options.memory>>20),
		fmt.Sprintf("ubda=/proc/self/fd/%d", fdFirstExtra),
		"uml_dir=" + b.run.path,
		"root=none", "rootfstype=hostfs", "rootflags=/", "ro",
		"init=" + self, jobVariable + "=" + jobFile,
		"con=null", fmt.Sprintf("con0=null,fd:%d", fdConsole),
		"ssl=null", fmt.Sprintf("ssl0=fd:%d,fd:%d", fdSignals, fdFrames),
		"quiet", "panic=-1",
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + memoryDir(b)}
	library, err := xstateLibrary(filepath.Dir(b.run.path))
	if err != nil {
		return nil, err
	}
	if library != "" {
		env = append(env, "LD_PRELOAD="+library)
	}
	var m *machine
	err = b.cpu.run(func() (err error) {
		m, err = launch(guarded{argv: argv, env: env, dir: b.run.path, files: []*os.File{b.scratch}, watch: b.watch, pulse: true})
		return err
	})
	return m, err
}

// memoryDir is where UML keeps the file behind its memory. In /dev/shm no page
// of it is ever written to a disk; a container's /dev/shm is often too small.
func memoryDir(b *boot) string {
	const shm = "/dev/shm"
	var st unix.Statfs_t
	if unix.Statfs(shm, &st) == nil && st.Type == unix.TMPFS_MAGIC &&
		int64(st.Bavail*uint64(st.Bsize)) > b.options.memory && unix.Access(shm, unix.W_OK) == nil {
		return shm
	}
	return b.run.path
}
