package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guestMain is this program as the first process of a machine. It never
// returns: the last thing it does is to switch the machine off.
func guestMain(jobFile string) {
	_ = os.Unsetenv(jobVariable)
	g := &guest{}
	res, err := g.serve(jobFile)
	if err != nil {
		res = &result{Status: exitMachine, Error: "set up the machine: " + err.Error()}
	}
	if err := g.report(res); err != nil {
		fmt.Fprintln(os.Stderr, "vm: report the result:", err) // the console: all that is left
	}
	g.halt()
}

// guest is the inside of a machine.
type guest struct {
	job     *job
	channel *os.File // towards the host
	signals *os.File // from the host; may be the same file
	frames  *frameWriter
}

func (g *guest) serve(jobFile string) (*result, error) {
	data, err := os.ReadFile(jobFile)
	if err != nil {
		return nil, err
	}
	g.job = &job{}
	if err := json.Unmarshal(data, g.job); err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	setUp, tearDown := g.setUpMachine, g.flush
	if g.job.Backend == (native{}).name() {
		setUp, tearDown = g.setUpNative, g.tearDownNative
	}
	if err := setUp(); err != nil {
		return nil, errors.Join(err, tearDown())
	}
	before := takeStock()
	if err := g.frames.write(frameReady, nil); err != nil {
		return nil, errors.Join(err, tearDown())
	}
	res := g.runCommand()
	if g.job.LeakCheck {
		res.Leaks = leftBehind(before)
	}
	return res, tearDown()
}

// setUpMachine makes a kernel that has just booted look like a host that CMD can
// work in.
func (g *guest) setUpMachine() error {
	if g.job.RootTag != "" {
		if err := enterHostRoot(g.job.RootTag); err != nil {
			return err
		}
	}
	if err := mountKernelFilesystems(); err != nil {
		return err
	}
	if err := g.openChannel(); err != nil {
		return err
	}
	if err := loadModules(g.job.ModuleDir); err != nil {
		return err
	}
	if err := g.mountAll(); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	_ = unix.Sethostname([]byte("veneer-vm"))
	// Core files would land on the scratch disk; Go raises the soft limit itself.
	_ = syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{})
	_ = syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1024, Max: 1 << 19})
	return nil
}

// openChannel opens the line to the host as a plain stream of bytes.
func (g *guest) openChannel() error {
	fd, err := unix.Open(g.job.Channel, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the channel %s: %w", g.job.Channel, err)
	}
	if attr, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		attr.Iflag, attr.Oflag, attr.Lflag = 0, 0, 0
		attr.Cflag = attr.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		attr.Cc[unix.VMIN], attr.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, attr); err != nil {
			return fmt.Errorf("make the channel raw: %w", err)
		}
	}
	g.signals = os.NewFile(uintptr(fd), g.job.Channel)
	g.channel = g.signals
	g.frames = &frameWriter{w: g.channel}
	return nil
}

// report sends the result and waits until it is on its way.
func (g *guest) report(res *result) error {
	data, err := json.Marshal(res)
	if err != nil {
		return err
	}
	if g.frames == nil {
		return fmt.Errorf("no channel to the host: %s", data)
	}
	if err := g.frames.write(frameResult, data); err != nil {
		return err
	}
	// tcdrain(3): bytes still in the line's buffer would be lost with the power.
	if err := unix.IoctlSetInt(int(g.channel.Fd()), unix.TCSBRK, 1); err != nil && err != unix.ENOTTY && err != unix.EINVAL {
		return err
	}
	return nil
}

func (g *guest) halt() {
	if os.Getpid() != 1 || g.job == nil || g.job.Backend == (native{}).name() {
		os.Exit(0) // of a kernel that booted for us, this is the end too: it panics and says so
	}
	for {
		err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		fmt.Fprintln(os.Stderr, "vm: power off:", err)
		<-time.After(time.Second)
	}
}

// loopbackUp brings the loopback interface up, for servers on 127.0.0.1.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring the loopback interface up: %w", err)
	}
	return nil
}

// environment is the caller's, with what the machine changes in it.
func (g *guest) environment() []string {
	ours := []string{
		"VENEER_VM=" + g.job.Backend,
		"VENEER_SCRATCH=" + g.job.ScratchDir,
		"TMPDIR=" + filepath.Join(g.job.ScratchDir, "tmp"),
		"PWD=" + g.job.Dir,
	}
	if _, err := os.Stat("/run/udev/control"); err != nil {
		ours = append(ours, "DM_DISABLE_UDEV=1")
	}
	var env []string
	for _, pair := range g.job.Env {
		if !overridden(pair, ours) {
			env = append(env, pair)
		}
	}
	return append(env, ours...)
}
