package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The places of things in a machine's initial file system.
const (
	initramfsJob     = "/job.json"
	initramfsModules = "/modules"
	initramfsRoot    = "/newroot"
)

// bootModules are what a machine needs to see the host's root, its scratch disk
// and its channel. The others are read from the host's root.
var bootModules = []string{"virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "9pnet_virtio", "9p"}

// writeInitramfs packs this program, its job and the modules to begin with.
func writeInitramfs(file, jobFile, moduleDir string) (err error) {
	index, err := readModuleIndex(moduleDir)
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zipped, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := &cpioWriter{w: zipped, made: map[string]bool{}}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, add := range [][2]string{{"/init", self}, {initramfsJob, jobFile}} {
		if err := archive.addFile(add[0], add[1]); err != nil {
			return err
		}
	}
	var deps bytes.Buffer
	packed := map[string]bool{}
	var pack func(module string) error
	pack = func(module string) error {
		if packed[module] {
			return nil
		}
		packed[module] = true
		fmt.Fprint(&deps, module, ":")
		for _, need := range index.needs[module] {
			fmt.Fprint(&deps, " ", need)
		}
		fmt.Fprintln(&deps)
		for _, need := range index.needs[module] {
			if err := pack(need); err != nil {
				return err
			}
		}
		return archive.addFile(path.Join(initramfsModules, module), filepath.Join(moduleDir, module))
	}
	for _, name := range bootModules {
		if module, ok := index.files[moduleName(name)]; ok {
			if err := pack(module); err != nil {
				return err
			}
		}
	}
	if err := archive.add(path.Join(initramfsModules, "modules.dep"), 0o100644, deps.Bytes()); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", initramfsRoot} {
		if err := archive.addDir(dir); err != nil {
			return err
		}
	}
	return errors.Join(archive.close(), zipped.Close())
}

// cpioWriter writes the "newc" archive that a kernel unpacks at boot
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type cpioWriter struct {
	w     io.Writer
	inode int
	made  map[string]bool
}

func (c *cpioWriter) addFile(name, source string) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	return c.add(name, 0o100755, data)
}

func (c *cpioWriter) addDir(name string) error {
	if name == "/" || c.made[name] {
		return nil
	}
	c.made[name] = true
	if err := c.addDir(path.Dir(name)); err != nil {
		return err
	}
	return c.entry(name[1:], 0o040755, nil)
}

func (c *cpioWriter) add(name string, mode int, data []byte) error {
	if err := c.addDir(path.Dir(name)); err != nil {
		return err
	}
	return c.entry(name[1:], mode, data)
}

func (c *cpioWriter) entry(name string, mode int, data []byte) error {
	c.inode++
	// magic, ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor,
	// length of the name with its NUL, check.
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	record := append([]byte(header+name), 0)
	record = append(record, make([]byte, -len(record)&3)...)
	record = append(record, data...)
	record = append(record, make([]byte, -len(record)&3)...)
	_, err := c.w.Write(record)
	return err
}

func (c *cpioWriter) close() error { return c.entry("TRAILER!!!", 0, nil) }

// enterHostRoot makes the host's root the machine's. It runs in the initial file
// system, which is empty but for what writeInitramfs packed.
func enterHostRoot(tag string) error {
	if err := unix.Mount("none", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount devtmpfs: %w", err)
	}
	index, err := readModuleIndex(initramfsModules)
	if err != nil {
		return err
	}
	for _, name := range bootModules {
		if file, ok := index.files[moduleName(name)]; ok {
			if err := index.load(file); err != nil {
				return err
			}
		}
	}
	deadline := time.Now().Add(5 * time.Minute) // devices appear on their own time
	for {
		err := unix.Mount(tag, initramfsRoot, "9p", unix.MS_RDONLY, options9p)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("mount the host's root: %w", err)
		}
		<-time.After(20 * time.Millisecond)
	}
	// What switch_root(8) does, without deleting the little that is below.
	if err := unix.Unmount("/dev", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := unix.Chdir(initramfsRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("make the host's root the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}
