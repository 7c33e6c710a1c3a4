package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A mountPoint is one line of a machine's fstab.
type mountPoint struct {
	target, fstype, options string
	flags                   uintptr
}

// kernelFilesystems come first: everything else needs them. /run and /dev/shm
// start empty, so that nothing of the host's udev, systemd or sockets shows.
var kernelFilesystems = []mountPoint{
	{"/proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"/sys", "sysfs", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"/dev", "devtmpfs", "mode=755", unix.MS_NOSUID},
	{"/dev/pts", "devpts", "mode=620,ptmxmode=666", unix.MS_NOSUID | unix.MS_NOEXEC},
	{"/dev/shm", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"/run", "tmpfs", "mode=755", unix.MS_NOSUID | unix.MS_NODEV},
	{"/sys/fs/cgroup", "cgroup2", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
}

// guestDir holds what belongs to the machine itself.
const guestDir = "/run/veneer-vm"

func mountKernelFilesystems() error {
	for _, m := range kernelFilesystems {
		if m.target == "/dev/pts" || m.target == "/dev/shm" {
			if err := os.MkdirAll(m.target, 0o755); err != nil {
				return err
			}
		}
		err := unix.Mount("none", m.target, m.fstype, m.flags, m.options)
		if err != nil && !(errors.Is(err, unix.EBUSY) && m.fstype == "devtmpfs") { // the kernel may have been first
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	// Controllers are for containers; a kernel without one of them still serves.
	for _, controller := range []string{"cpu", "io", "memory", "pids"} {
		_ = os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+"+controller), 0o644)
	}
	return os.Mkdir(guestDir, 0o755)
}

// mountAll makes the host's files writable where they must be, mounts the scratch
// filesystem and opens the two folders through which files reach the host.
func (g *guest) mountAll() error {
	for _, dir := range g.job.Overlays {
		if err := mountOverlay(dir); err != nil {
			return err
		}
	}
	if err := g.mountScratch(g.job.Scratch); err != nil {
		return err
	}
	for i, dir := range g.job.writableDirs() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the mount point of a writable folder: %w", err)
		}
		if err := g.mountHostDir(dir, i); err != nil {
			return err
		}
	}
	return nil
}

// mountScratch mounts a fresh filesystem and makes TMPDIR in it.
func (g *guest) mountScratch(device string) error {
	dir := g.job.ScratchDir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// A fresh filesystem on zeros has no table to initialise in the background.
	if err := unix.Mount(device, dir, "ext4", unix.MS_NOATIME, "noinit_itable"); err != nil {
		return fmt.Errorf("mount the scratch disk %s: %w", device, err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	return os.Chmod(tmp, os.ModeSticky|0o777)
}

// mountOverlay puts an empty writable layer over a folder of the host.
func mountOverlay(dir string) error {
	layer := filepath.Join(guestDir, "overlay", strings.ReplaceAll(dir, "/", "-"))
	upper, work := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	for _, path := range []string{upper, work} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if err := unix.Chmod(upper, st.Mode&0o7777); err != nil { // the merged root shows the upper one's mode
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work)
	if err := unix.Mount("overlay", dir, "overlay", 0, options); err != nil {
		return fmt.Errorf("put a writable layer over %s: %w", dir, err)
	}
	return nil
}

// mountHostDir mounts the i-th writable folder of the host under its own path.
func (g *guest) mountHostDir(dir string, i int) error {
	source, fstype, options := "none", "hostfs", dir
	if g.job.RootTag != "" {
		source, fstype, options = writableTag(i), "9p", options9p
	}
	if err := unix.Mount(source, dir, fstype, 0, options); err != nil {
		return fmt.Errorf("mount the host's folder %s: %w", dir, err)
	}
	return nil
}

// flush brings what CMD wrote for the host onto the host.
func (g *guest) flush() error {
	unix.Sync()
	for _, dir := range g.job.writableDirs() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount the host's folder %s: %w", dir, err)
		}
	}
	return nil
}
