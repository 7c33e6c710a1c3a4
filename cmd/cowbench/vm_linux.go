package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/backend"
)

// throughVM decides where a run takes place. In a virtual machine, it becomes the
// program that boots one, and does not return.
func (a *app) throughVM(o runFlags) error {
	inside := os.Getenv("VENEER_VM") != ""
	switch o.vm {
	case "never":
		return nil
	case "always":
		if inside {
			return nil // this is it
		}
	case "auto":
		if inside || o.device != "" || os.Geteuid() == 0 && !errors.Is(backend.Thin{}.Ready(), bench.ErrNotReady) {
			return nil
		}
	default:
		return usage("--vm %q is not auto, always or never", o.vm)
	}
	why := "as asked"
	if o.vm == "auto" {
		why = "this kernel has no dm-thin"
		if os.Geteuid() != 0 {
			why = "only root can make filesystems here"
		}
	}
	if o.device != "" {
		return usage("--device %s cannot be seen from a virtual machine; leave --vm or --device out", o.device)
	}
	program, err := vmProgram()
	if err != nil {
		return fmt.Errorf("%s, and the program that boots a virtual machine is not here: %w", why, err)
	}
	words, err := a.vmWords(program, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "cowbench: running in a virtual machine, %s\n", why)
	return fmt.Errorf("start %s: %w", program, syscall.Exec(program, words, os.Environ()))
}

// vmProgram is the one that "make build" puts beside this one.
func vmProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "vm")
	if st, err := os.Stat(path); err != nil || st.Mode()&0o111 == 0 {
		return "", fmt.Errorf("no %s (\"make build\" makes it), and with --vm=never the run takes place here", path)
	}
	return path, nil
}

// vmScratch is the size of the virtual machine's disk, a sparse file.
const vmScratch = "100G"

// vmWords is the command that repeats this one inside. Files that are to be written lie
// in the one folder that the machine may write.
func (a *app) vmWords(program string, o runFlags) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := []string{program, "-timeout", "24h", "-scratch", vmScratch}
	out := ""
	for _, path := range []string{o.json, o.html} {
		if path == "" || path == "-" {
			continue
		}
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		if out != "" && out != dir {
			return nil, usage("--json and --html name files in two folders, and a virtual machine may write to one; put them in the same")
		}
		out = dir
	}
	if out != "" {
		words = append(words, "-out", out)
	}
	given := slices.DeleteFunc(slices.Clone(a.args), func(word string) bool {
		return word == "--vm" || strings.HasPrefix(word, "--vm=") || strings.HasPrefix(word, "--store=")
	})
	if i := slices.Index(given, "--store"); i >= 0 {
		given = slices.Delete(given, i, min(i+2, len(given))) // a folder of the host's means nothing there
	}
	return append(append(words, "--", self), given...), nil
}
