package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// counting counts the programs that snapshotters execute, by putting others in
// front of them in PATH that leave a mark and execute the real ones.
type counting struct {
	dir, marks, path string
}

// executable are the programs of snapshotters and of their filesystems.
var executable = []string{"dmsetup", "blkdiscard", "mkfs.ext4", "mke2fs", "e2fsck", "fsck.ext4", "tune2fs", "losetup", "mount", "umount"}

func (b *bench) startCounting() (*counting, error) {
	c := &counting{dir: filepath.Join(b.dir, "programs"), path: os.Getenv("PATH")}
	c.marks = filepath.Join(c.dir, "marks")
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.marks, nil, 0o644); err != nil {
		return nil, err
	}
	for _, name := range executable {
		target, err := exec.LookPath(name)
		if err != nil {
			continue // nobody can execute it
		}
		script := fmt.Sprintf("#!/bin/sh\nprintf x >>'%s'\nexec '%s' \"$@\"\n", c.marks, target)
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(script), 0o755); err != nil {
			return nil, err
		}
	}
	return c, os.Setenv("PATH", c.dir+":"+c.path)
}

// count is how many programs were executed until now.
func (c *counting) count() (int, error) {
	st, err := os.Stat(c.marks)
	if err != nil {
		return 0, err
	}
	return int(st.Size()), nil
}

func (c *counting) stop() error {
	return errors.Join(os.Setenv("PATH", c.path), os.RemoveAll(c.dir))
}
