package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// newScratch makes a sparse file of size bytes that holds an empty ext4
// filesystem. The file has no name any more when newScratch returns: it goes
// away with the last process that has it open, however that process ends.
func newScratch(dir string, size int64) (*os.File, error) {
	file, err := os.CreateTemp(dir, "scratch-")
	if err != nil {
		return nil, fmt.Errorf("make the scratch disk: %w", err)
	}
	if err := format(file, size); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func format(file *os.File, size int64) error {
	if err := file.Truncate(size); err != nil {
		return fmt.Errorf("size the scratch disk: %w", err)
	}
	tool, err := lookTool("mkfs.ext4")
	if err != nil {
		return fmt.Errorf("mkfs.ext4 is not installed, and the scratch disk needs it: install the package e2fsprogs: %w", err)
	}
	// A sparse file reads as zeros: neither tables nor journal need writing.
	cmd := exec.Command(tool, "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", file.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format the scratch disk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// lookTool finds a program of the administrator's, which a plain user's PATH may
// not reach.
func lookTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}
