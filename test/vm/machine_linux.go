package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A machine is a running guest. A guard stands between it and this process (see
// guardMain), so that it ends when this process ends, however that happens.
type machine struct {
	guard    *exec.Cmd
	lifeline *os.File // closing it cuts the machine's power
	frames   *os.File // what the guest says
	signals  *os.File // one byte each: signals for CMD
	console  *console // what its kernel says
	done     chan struct{}
	off      sync.Once
}

// channels are the ends of a machine's streams. Its process inherits guest.
type channels struct {
	frames, signals, console *os.File // the host's ends
	guest                    []*os.File
}

// The numbers that the guest's ends have in the machine's process, and the first
// free one after them.
const (
	fdFrames = 3 + iota
	fdSignals
	fdConsole
	fdFirstExtra
)

func newChannels() (*channels, error) {
	var c channels
	var err error
	pipe := func(hostReads bool) *os.File {
		if err != nil {
			return nil
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return nil
		}
		if hostReads {
			c.guest = append(c.guest, w)
			return r
		}
		c.guest = append(c.guest, r)
		return w
	}
	c.frames, c.signals, c.console = pipe(true), pipe(false), pipe(true)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("make the machine's streams: %w", err)
	}
	return &c, nil
}

func (c *channels) close() {
	for _, file := range append(c.guest, c.frames, c.signals, c.console) {
		file.Close()
	}
}

// guarded describes the program that is a machine.
type guarded struct {
	argv, env []string
	dir       string            // its working directory
	files     []*os.File        // open in it from fdFirstExtra on
	mounts    bool              // it gets a mount namespace of its own
	pulse     bool              // it needs one, see keepTime
	watch     func(line string) // gets each line of its console
}

// launch starts a machine under guard.
func launch(g guarded) (*machine, error) {
	ch, err := newChannels()
	if err != nil {
		return nil, err
	}
	asleep, lifeline, err := os.Pipe()
	if err != nil {
		ch.close()
		return nil, fmt.Errorf("make the machine's lifeline: %w", err)
	}
	defer asleep.Close()
	files := append(ch.guest, g.files...)
	guard := exec.Command("/proc/self/exe", g.argv...)
	guard.Env = append(g.env, guardVariable+"="+strconv.Itoa(len(files)))
	if g.mounts {
		guard.Env = append(guard.Env, guardMountsVariable+"=1")
	}
	if g.pulse {
		guard.Env = append(guard.Env, guardPulseVariable+"=1")
	}
	guard.Dir = g.dir
	guard.Stdin = asleep
	guard.ExtraFiles = files
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is this process's to answer
	if err := guard.Start(); err != nil {
		ch.close()
		lifeline.Close()
		return nil, fmt.Errorf("start the machine's guard: %w", err)
	}
	for _, file := range ch.guest {
		file.Close()
	}
	m := &machine{guard: guard, lifeline: lifeline, frames: ch.frames, signals: ch.signals, done: make(chan struct{})}
	m.console = newConsole(ch.console, g.watch)
	go func() {
		_ = guard.Wait() // how it ended says less than the last frame and the console
		close(m.done)
	}()
	return m, nil
}

// signal passes a signal on to CMD. A guest that does not listen is no error.
func (m *machine) signal(sig syscall.Signal) {
	_ = m.signals.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = m.signals.Write([]byte{byte(sig)})
}

// waitHalt waits until the machine has switched itself off, or until patience
// runs out, and cuts its power then.
func (m *machine) waitHalt(patience time.Duration) {
	select {
	case <-m.done:
	case <-time.After(patience):
	}
	m.cut()
}

// cut switches the machine off without asking it, and waits until it is gone.
func (m *machine) cut() {
	m.off.Do(func() {
		m.lifeline.Close()
		<-m.done
		m.frames.Close()
		m.signals.Close()
		<-m.console.done
	})
}

// console keeps the last lines that a guest's kernel printed.
type console struct {
	mu    sync.Mutex
	lines []string
	done  chan struct{}
}

const consoleLines = 60

func newConsole(file *os.File, watch func(line string)) *console {
	c := &console{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer file.Close()
		var rest string
		buf := make([]byte, 4096)
		for {
			n, err := file.Read(buf)
			lines := strings.Split(rest+string(buf[:n]), "\n")
			rest = lines[len(lines)-1]
			for _, line := range lines[:len(lines)-1] {
				line = strings.TrimRight(line, "\r")
				watch(line)
				c.add(line)
			}
			if err != nil {
				c.add(rest)
				return
			}
		}
	}()
	return c
}

func (c *console) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, line)
	if len(c.lines) > consoleLines {
		c.lines = c.lines[1:]
	}
}

// complaint is an error when the kernel found a mistake of its own while CMD ran:
// whatever CMD concluded then is in doubt.
func (c *console) complaint() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range c.lines {
		if strings.Contains(line, "BUG") || strings.Contains(line, "Oops") || strings.Contains(line, "INFO: task") {
			return fmt.Errorf("the kernel complained:\n%s", strings.Join(c.lines, "\n"))
		}
	}
	return nil
}

// says tells whether the kernel said something, among the lines that are kept.
func (c *console) says(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.lines, func(line string) bool { return strings.Contains(line, text) })
}

// tail is what is kept, or one line saying that there is nothing.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text := strings.TrimSpace(strings.Join(c.lines, "\n")); text != "" {
		return text
	}
	return "(its console is empty)"
}

var errMachineDied = errors.New("the machine died before CMD ended")
