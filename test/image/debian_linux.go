package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const suite = "bookworm"

// mergedUsr is mmdebstrap's own way to have /bin, /lib and /sbin as links from
// the start. Without it the package usrmerge does so later, and brings all of perl.
const mergedUsr = "/usr/share/mmdebstrap/hooks/merged-usr"

// bootstrap makes a minimal Debian in a new folder. The package lists stay in it,
// for the packages that come later; no layer takes them in.
func bootstrap(ctx context.Context, root string) error {
	return command(ctx, nil, "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=directory",
		"--include=usr-is-merged", "--hook-dir="+mergedUsr, "--skip=cleanup/apt", "--aptopt=Acquire::Languages \"none\"", suite, root)
}

// install adds packages to a tree, with the tree's own apt and dpkg. No service
// is started: a Debian package asks policy-rc.d first.
func install(ctx context.Context, root string, packages ...string) error {
	policy := filepath.Join(root, "usr/sbin/policy-rc.d")
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	args := []string{"-q", "-y", "--no-install-recommends"}
	for _, scheme := range []string{"http", "https"} {
		if proxy := hostProxy(ctx, scheme); proxy != "" {
			args = append(args, "-o", "Acquire::"+scheme+"::Proxy="+proxy)
		}
	}
	args = append(append(args, "install"), packages...)
	err := command(ctx, &syscall.SysProcAttr{Chroot: root}, "/usr/bin/apt-get", args...)
	return errors.Join(err, os.Remove(policy))
}

// hostProxy is the proxy that the host's apt uses, "" for none.
func hostProxy(ctx context.Context, scheme string) string {
	out, err := exec.CommandContext(ctx, "apt-config", "shell", "p", "Acquire::"+scheme+"::Proxy").Output()
	if err != nil {
		return "" // not a Debian host
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	return strings.Trim(value, "'")
}

// copyTree copies a tree with all that a file has, sharing blocks where the
// filesystem can.
func copyTree(ctx context.Context, from, to string) error {
	return command(ctx, nil, "cp", "-a", "--reflink=auto", from, to)
}

// command runs a program quietly; its last lines become part of the error.
func command(ctx context.Context, attr *syscall.SysProcAttr, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "TMPDIR=/tmp",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// These programs tidy up after themselves when they are asked to end.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("%s was interrupted: %w", name, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w (is the network there?):\n%s", name, err, lastLines(out.String()))
	}
	return nil
}

// lastLines are the last few lines of a program's output, none of them long.
func lastLines(output string) string {
	const count, width = 8, 200
	lines := strings.Split(strings.TrimSpace(output), "\n")
	lines = lines[max(0, len(lines)-count):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), width)]
	}
	return strings.Join(lines, "\n")
}

// releaseTime is when the newest of the archives that the tree was made from was
// released.
func releaseTime(root string) (time.Time, error) {
	lists, err := filepath.Glob(filepath.Join(root, "var/lib/apt/lists/*InRelease"))
	if err != nil {
		return time.Time{}, err
	}
	var newest time.Time
	for _, list := range lists {
		file, err := os.Open(list)
		if err != nil {
			return time.Time{}, err
		}
		scanner := bufio.NewScanner(file)
		for scanner.Scan() {
			value, ok := strings.CutPrefix(scanner.Text(), "Date: ")
			if !ok {
				continue
			}
			if date, err := time.Parse(time.RFC1123, value); err == nil && date.After(newest) {
				newest = date
			}
			break
		}
		file.Close()
	}
	if newest.IsZero() {
		return time.Time{}, fmt.Errorf("no archive below %s tells when it was released", root)
	}
	return newest.UTC(), nil
}

// finishNginx deletes documentation of the base and writes the large file.
func finishNginx(root string, r recipe) error {
	for _, name := range []string{"usr/share/doc/perl-base", "usr/share/doc/tar", "usr/share/doc/bash", "usr/share/lintian"} {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	dir := filepath.Join(root, "srv/data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeMeasurements(filepath.Join(dir, "measurements.csv"), r.DataBytes)
}

// writeMeasurements writes size bytes of plausible, reproducible numbers.
func writeMeasurements(path string, size int64) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriterSize(file, 1<<20)
	state := uint64(1)
	for written, second := int64(0), 0; written < size; second++ {
		state = state*6364136223846793005 + 1442695040888963407
		line := fmt.Sprintf("2024-01-01T%02d:%02d:%02dZ,sensor-%02d,%d.%02d\n",
			second/3600%24, second/60%60, second%60, state>>58, 15+state>>33%10, state>>40%100)
		line = line[:min(int64(len(line)), size-written)]
		written += int64(len(line))
		if _, err := w.WriteString(line); err != nil {
			return err
		}
	}
	return w.Flush()
}
