package tool

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrMissing says that a program is not installed.
var ErrMissing = errors.New("is not installed")

// A Tool is a program of the system's and the package that brings it.
type Tool struct {
	Program string
	Package string // in Debian and most others
}

// The tools that the benchmark knows.
var (
	MkfsExt4      = Tool{"mkfs.ext4", "e2fsprogs"}
	MkfsXFS       = Tool{"mkfs.xfs", "xfsprogs"}
	MkfsBtrfs     = Tool{"mkfs.btrfs", "btrfs-progs"}
	Zpool         = Tool{"zpool", "zfsutils-linux"}
	ZFS           = Tool{"zfs", "zfsutils-linux"}
	FuseOverlayFS = Tool{"fuse-overlayfs", "fuse-overlayfs"}
	Fio           = Tool{"fio", "fio"}
	SQLite        = Tool{"sqlite3", "sqlite3"}
)

// sbin is looked into as well: not every user has it in PATH.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

func (t Tool) path() (string, error) {
	path, err := exec.LookPath(t.Program)
	if err == nil {
		return path, nil
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, t.Program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s %w: install the package %s", t.Program, ErrMissing, t.Package)
}

// Ready is nil when the tool is installed, else it wraps ErrMissing.
func (t Tool) Ready() error {
	_, err := t.path()
	return err
}

// Run runs the tool to its end with an optional text on its standard input, and gives
// what it printed on standard output. The error has what it said on standard error.
func (t Tool) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	path, err := t.path()
	if err != nil {
		return "", err
	}
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	end := dieTogether(cmd)
	defer end()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", t.Program, err, strings.Join(strings.Fields(stderr.String()), " "))
	}
	return stdout.String(), nil
}

// Version is the first line that the tool prints with a flag; "" when it is missing.
func (t Tool) Version(ctx context.Context, flag string) string {
	path, err := t.path()
	if err != nil {
		return ""
	}
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput() // some end with 1 after it
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}
