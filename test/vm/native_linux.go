package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/loopback"
)

// native runs CMD on the kernel that is there, in a mount namespace of its own:
// whatever CMD mounts and forgets goes away with it.
type native struct{}

func (native) name() string { return "native" }

func (native) missing(*options) error {
	if os.Getuid() != 0 {
		return errors.New("native: only root may use device-mapper")
	}
	// A module with parameters, built in or loaded, has its folder here.
	for _, path := range []string{"/sys/module/dm_thin_pool", "/dev/mapper/control", "/dev/loop-control"} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("native: this kernel has no %s (modprobe dm-thin-pool loop)", path)
		}
	}
	return nil
}

func (native) start(b *boot) (*machine, error) {
	b.job.Scratch = fmt.Sprintf("/proc/self/fd/%d", fdFirstExtra)
	b.job.ScratchDir = b.run.path + "/scratch"
	jobFile, err := b.run.writeJob(b.job)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return launch(guarded{
		argv: []string{self}, env: append(os.Environ(), jobVariable+"="+jobFile), dir: b.run.path,
		files: []*os.File{b.scratch}, mounts: true, watch: b.watch,
	})
}

// nativePatience bounds a hang as the scratch disk is attached.
const nativePatience = 5 * time.Minute

func (g *guest) setUpNative() error {
	g.channel = os.NewFile(fdFrames, "frames")
	g.signals = os.NewFile(fdSignals, "signals")
	g.frames = &frameWriter{w: g.channel}
	for fd := fdFrames; fd <= fdFirstExtra; fd++ {
		unix.CloseOnExec(fd) // CMD has no business with them
	}
	ctx, cancel := context.WithTimeout(context.Background(), nativePatience)
	defer cancel()
	device, err := loopback.Attach(ctx, g.job.Scratch, loopback.Options{DirectIO: true})
	if err != nil {
		return err
	}
	if err := g.mountScratch(device.Path); err != nil {
		return errors.Join(err, device.Detach(ctx))
	}
	return detachWithMount(device)
}

// detachWithMount has the kernel detach a mounted device by itself when the mount
// goes, which it does with the last process of the namespace: even a kill leaves
// nothing.
func detachWithMount(device loopback.Device) error {
	node, err := os.Open(device.Path)
	if err != nil {
		return err
	}
	defer node.Close()
	info, err := unix.IoctlLoopGetStatus64(int(node.Fd()))
	if err != nil {
		return fmt.Errorf("read the status of %s: %w", device.Path, err)
	}
	info.Flags |= unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopSetStatus64(int(node.Fd()), info); err != nil {
		return fmt.Errorf("tie %s to its mount: %w", device.Path, err)
	}
	return nil
}

func (g *guest) tearDownNative() error {
	err := unix.Unmount(g.job.ScratchDir, unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // it was never mounted
	}
	return err
}
