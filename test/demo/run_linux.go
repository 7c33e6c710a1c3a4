package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func (d *demo) command(args ...string) *exec.Cmd {
	words := append([]string{"--root", d.root, "--progress", "plain"}, args...)
	return exec.Command(d.veneer, words...)
}

// show runs a command of veneer's as a reader would type it, and shows what it says.
func (d *demo) show(args ...string) error {
	fmt.Printf("$ veneer %s\n", strings.Join(args, " "))
	cmd := d.command(args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("veneer %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (d *demo) lines(args ...string) ([]string, error) {
	out, err := d.command(args...).Output()
	return strings.Fields(string(out)), err
}

// pool is what "veneer pool status" tells programs.
type pool struct {
	DataUsed  uint64 `json:"dataUsed"`
	BlockSize uint64 `json:"blockSize"`
}

func (d *demo) pool() (p pool, err error) {
	out, err := d.command("pool", "status", "--format", "json").Output()
	if err == nil {
		err = json.Unmarshal(out, &p)
	}
	return p, err
}

// stored is what the pool's data file takes on the filesystem below.
func (d *demo) stored() uint64 {
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(d.root, "pool", "veneer-demo.data"), &st); err != nil {
		return 0
	}
	return uint64(st.Blocks) * 512
}

func (d *demo) mount(container string) (dir string, unmount func(), err error) {
	dir = filepath.Join(d.dir, "mnt-"+container)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	if err := d.show("container", "mount", container, dir); err != nil {
		return "", nil, err
	}
	return dir, func() {
		if err := d.show("container", "umount", container); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
	}, nil
}

// unmountAll ends what a showing that failed had mounted.
func (d *demo) unmountAll() {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	ours := []string{}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], d.dir+"/") {
			ours = append(ours, f[1])
		}
	}
	slices.Reverse(ours)
	for _, dir := range ours {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			fmt.Fprintln(os.Stderr, "demo: unmount", dir, err)
		}
	}
}

// killDuring kills a command as soon as it says a word, as a power-hungry operator
// or the kernel out of memory would.
func (d *demo) killDuring(word string, args ...string) error {
	fmt.Printf("$ veneer %s\n", strings.Join(args, " "))
	cmd := d.command(args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		say("%s", lines.Text())
		if !killed && strings.Contains(lines.Text(), word) {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				return err
			}
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !killed || !errors.As(err, &exit) || exit.ExitCode() != -1 {
		return fmt.Errorf("the import was not killed in time: %w", err)
	}
	say("killed by signal 9 while a layer was being applied")
	return nil
}
