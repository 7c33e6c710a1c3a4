package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A runDir is the folder of one machine: its job, its sockets and the files that
// CMD writes for the host. It is locked for as long as its owner lives, so that
// the folder of an owner that was killed can be told from one in use.
type runDir struct {
	path string
	lock *os.File
}

// baseDir is the folder that all machines of this user share. A path in /tmp that
// another user made first is refused.
func baseDir() (string, error) {
	base := filepath.Join(os.TempDir(), fmt.Sprintf("veneer-vm-%d", os.Getuid()))
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the machines: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(base, &st); err != nil {
		return "", fmt.Errorf("look at %s: %w", base, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a folder of user %d: remove it, or set TMPDIR to another place", base, os.Getuid())
	}
	return base, nil
}

// newRunDir makes a run folder in base, after sweeping those whose owners died.
func newRunDir(base string) (*runDir, error) {
	sweep(base)
	path, err := os.MkdirTemp(base, "run-")
	if err != nil {
		return nil, fmt.Errorf("make the machine's folder: %w", err)
	}
	lock, err := tryLock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	if err := os.Mkdir(filepath.Join(path, "files"), 0o700); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &runDir{path: path, lock: lock}, nil
}

// sweep removes run folders that nobody holds. A folder without its lock file is
// being made or removed at this moment and is left alone.
func sweep(base string) {
	folders, _ := filepath.Glob(filepath.Join(base, "run-*"))
	for _, folder := range folders {
		name := filepath.Join(folder, "lock")
		if _, err := os.Stat(name); err != nil {
			continue
		}
		if lock, err := tryLock(name); err == nil {
			os.RemoveAll(folder)
			lock.Close()
		}
	}
}

func (r *runDir) files() string { return filepath.Join(r.path, "files") }

// writeJob stores j for the guest and returns the file's path.
func (r *runDir) writeJob(j *job) (string, error) {
	data, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.path, "job.json")
	return path, os.WriteFile(path, data, 0o600)
}

func (r *runDir) remove() error {
	return errors.Join(os.RemoveAll(r.path), r.lock.Close())
}
