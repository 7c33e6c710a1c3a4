package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// describe notes what was measured, and where.
func (b *bench) describe() {
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		release := string(u.Release[:bytes.IndexByte(u.Release[:], 0)])
		machine := os.Getenv("VENEER_VM")
		if machine == "" {
			machine = "no virtual machine"
		}
		b.table.note("machine: %s, Linux %s, %d CPU", machine, release, runtime.NumCPU())
	}
	module := "an unknown version"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/containerd/containerd/v2" {
				module = dep.Version
			}
		}
	}
	b.table.note("prepare, commit, view, remove and the chain: in this process; devmapper and overlayfs of containerd's module %s", module)
	b.table.note("unpack and start: through %s with %s; Veneer over a socket", version("containerd"), version("runc"))
	b.table.note("pools: %d GiB of data, %d MiB of metadata, bases of %d GiB; medians", poolSize>>30, metadataSize>>20, baseSize>>30)
	b.table.note("PROGRAMS: dmsetup, mkfs and their like that the snapshotter executes, counted in a round of its own; a start's include the removal of its snapshot")
}

// version is the first line of what a program says of itself.
func version(program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return fmt.Sprintf("%s (%v)", program, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}
