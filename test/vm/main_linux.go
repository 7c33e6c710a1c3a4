package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/veneerdm/veneer/internal/bytesize"
)

// options are the command line.
type options struct {
	backend   string
	kernel    string // for qemu; "" means the newest that is installed
	modules   string // folder of its modules
	memory    int64  // bytes
	scratch   int64  // bytes
	timeout   time.Duration
	out       string // absolute, or ""
	leakCheck bool
	verbose   bool
	args      []string
}

// graceForTests is how much longer than a test binary's own -test.timeout the
// machine may run: the binary's report of the hang is better than ours.
const graceForTests = time.Minute

func main() {
	if files := os.Getenv(guardVariable); files != "" {
		guardMain(files)
	}
	if path := os.Getenv(jobVariable); path != "" {
		guestMain(path)
	}
	os.Exit(hostMain(os.Args[1:], os.Stdout, os.Stderr))
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	set := flag.NewFlagSet("vm", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		fmt.Fprintln(stderr, "usage: vm [flags] -- CMD ARGS\n\nvm runs CMD under a kernel that has dm-thin, with the host's files in view.")
		set.PrintDefaults()
	}
	var o options
	set.StringVar(&o.backend, "backend", envOr("VENEER_VM_BACKEND", "auto"), "how to get a kernel: auto, native, uml or qemu; $VENEER_VM_BACKEND is the default")
	set.StringVar(&o.kernel, "kernel", os.Getenv("VENEER_VM_KERNEL"), "kernel for qemu; the newest in /boot is the default ($VENEER_VM_KERNEL)")
	set.StringVar(&o.modules, "modules", os.Getenv("VENEER_VM_MODULES"), "folder of that kernel's modules, with modules.dep ($VENEER_VM_MODULES)")
	memory, scratch := bytesize.Size(2<<30), bytesize.Size(20<<30)
	set.Var(&memory, "mem", "memory of the machine")
	set.Var(&scratch, "scratch", "size of the scratch filesystem, a sparse file in $TMPDIR")
	set.DurationVar(&o.timeout, "timeout", 0, "end CMD after this long; 0 means a minute more than its -test.timeout, or 30m")
	set.StringVar(&o.out, "out", "", "folder of the host that CMD may write, under the same path; made when absent")
	leak := set.String("leakcheck", "auto", "fail when CMD leaves dm devices, loop devices or mounts: on, off, or auto (on for test binaries)")
	set.BoolVar(&o.verbose, "v", false, "show what the machine's kernel prints")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	o.args = set.Args()
	if len(o.args) == 0 {
		set.Usage()
		return nil, fmt.Errorf("no command was given: say vm -- CMD ARGS")
	}
	if o.memory = int64(memory); o.memory < 128<<20 {
		return nil, fmt.Errorf("-mem %s is not a size of at least 128M", memory)
	}
	if o.scratch = int64(scratch); o.scratch < 16<<20 {
		return nil, fmt.Errorf("-scratch %s is not a size of at least 16M", scratch)
	}
	switch strings.ToLower(*leak) {
	case "auto":
		o.leakCheck = isTestBinary(o.args)
	case "on", "true":
		o.leakCheck = true
	case "off", "false":
	default:
		return nil, fmt.Errorf("-leakcheck %q is not on, off or auto", *leak)
	}
	if o.timeout == 0 {
		o.timeout = 30 * time.Minute
		if d := testTimeout(o.args); d > 0 {
			o.timeout = d + graceForTests
		}
	}
	if o.out != "" {
		out, err := filepath.Abs(o.out)
		if err != nil {
			return nil, err
		}
		o.out = out
	}
	return &o, nil
}

func envOr(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
