package main

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/internal/command"
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
	b.table.note("pools: %s of data, %s of metadata, bases of %s; medians", bytesize.Format(poolSize), bytesize.Format(metadataSize), bytesize.Format(baseSize))
	b.table.note("PROGRAMS: dmsetup, mkfs and their like that the snapshotter executes, counted in a round of its own; a start's include the removal of its snapshot")
}

// version is the first line of what a program says of itself.
func version(program string) string {
	return command.Program{Name: program}.Version(context.Background(), "--version")
}
