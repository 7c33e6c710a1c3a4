package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	gremlins   string
	equivalent string
	least      float64
	jobs       int
	files      string
	pkg        string
}

func main() {
	switch filepath.Base(os.Args[0]) {
	case "go":
		os.Exit(standIn(os.Args[1:]))
	case "sandbox":
		fmt.Fprintln(os.Stderr, "mutate:", sandbox(os.Args[1:]))
		os.Exit(exitSandbox)
	}
	var o options
	flag.StringVar(&o.gremlins, "gremlins", "bin/gremlins", "the gremlins program")
	flag.StringVar(&o.equivalent, "equivalent", "test/mutate/equivalent.txt", "survivors that no test can tell from the original")
	flag.Float64Var(&o.least, "least", 90, "percentage of the mutants that must be killed")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "mutants tried at once")
	flag.StringVar(&o.files, "files", "", "mutate only these files of the package, with commas between them")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mutate [flags] PACKAGE")
		os.Exit(2)
	}
	o.pkg = flag.Arg(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Dir         string
	GoFiles, IgnoredGoFiles []string
	Module                  struct{ Dir string }
}

func run(ctx context.Context, o options) (err error) {
	gremlins, err := filepath.Abs(o.gremlins)
	if err != nil {
		return err
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pkg, err := list(ctx, goCommand, o.pkg)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(pkg.Module.Dir, pkg.Dir)
	if err != nil {
		return err
	}
	entries, err := readEquivalent(o.equivalent)
	if err != nil {
		return err
	}
	files := pkg.GoFiles
	if o.files != "" {
		files = strings.Split(o.files, ",")
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool {
		return path.Dir(e.file) != filepath.ToSlash(rel) || !slices.Contains(files, path.Base(e.file))
	})

	top, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	j := job{
		Go: goCommand, Program: self, Import: pkg.ImportPath, Files: files, Env: os.Environ(),
		Package: filepath.Join(top, "tree", rel),
		Profile: filepath.Join(top, "profile"), Log: filepath.Join(top, "log"), Scratch: filepath.Join(top, "scratch"),
	}
	if err := prepare(top, self, pkg.Module.Dir, j.Package, pkg.IgnoredGoFiles); err != nil {
		return err
	}
	if err := j.measure(ctx); err != nil {
		return err
	}
	fmt.Printf("without a mutant the tests take %s and %s of processor time; limits %s and %s\n", j.wall, j.cpu, j.Wall, j.CPU)
	if err := j.save(filepath.Join(top, "job")); err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(pkg.GoFiles), func(name string) bool { return slices.Contains(files, name) })
	found, err := j.unleash(ctx, gremlins, top, o.jobs, others)
	if err != nil {
		return err
	}
	r, err := newReport(filepath.ToSlash(rel), j, found, entries)
	if err != nil {
		return err
	}
	return r.print(os.Stdout, o.least)
}

func list(ctx context.Context, goCommand, pattern string) (goPackage, error) {
	var p goPackage
	out, err := exec.CommandContext(ctx, goCommand, "list", "-json=ImportPath,Dir,GoFiles,IgnoredGoFiles,Module", pattern).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return p, fmt.Errorf("go list: %w: %s", err, exit.Stderr)
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(out, &p); err != nil {
		return p, fmt.Errorf("%s is not one package: %w", pattern, err)
	}
	return p, nil
}

// prepare makes the folders of a run: the tree that gremlins copies, the go command
// that it finds, and a place for temporary files. Files that this build leaves out
// are taken away, because gremlins would mutate them too.
func prepare(top, self, module, pkgDir string, ignored []string) error {
	for _, name := range []string{"tree", "bin", "work", "scratch"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink(self, filepath.Join(top, "bin", "go")); err != nil {
		return err
	}
	if err := copyTree(module, filepath.Join(top, "tree")); err != nil {
		return fmt.Errorf("copy the tree: %w", err)
	}
	for _, name := range ignored {
		if err := os.Remove(filepath.Join(pkgDir, name)); err != nil {
			return err
		}
	}
	return nil
}

// mutators are the kinds of mutants. Left out is invert-negatives: it makes of a
// minus what arithmetic-base makes of it.
var mutators = []string{
	"arithmetic-base", "conditionals-boundary", "conditionals-negation", "increment-decrement", "invert-assignments",
	"invert-bitwise", "invert-bwassign", "invert-logical", "invert-loopctrl", "remove-self-assignments",
}

// unleash runs gremlins on the package and gives its list of mutants.
func (j *job) unleash(ctx context.Context, gremlins, top string, jobs int, leaveOut []string) ([]found, error) {
	out := filepath.Join(top, "gremlins.json")
	args := []string{
		"unleash", "--output", out, "--workers", fmt.Sprint(jobs),
		"--exclude-files", "/", // packages below this one
		"--timeout-coefficient", "100000", // the stand-in keeps the time
		"--invert-negatives=false",
	}
	for _, m := range mutators {
		args = append(args, "--"+m)
	}
	for _, name := range leaveOut {
		args = append(args, "--exclude-files", "^"+regexp.QuoteMeta(name)+"$")
	}
	cmd := exec.CommandContext(ctx, gremlins, append(args, j.Package)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Dir = j.Package
	cmd.Env = append(os.Environ(),
		"PATH="+filepath.Join(top, "bin")+":"+os.Getenv("PATH"), "TMPDIR="+filepath.Join(top, "work"),
		"HOME="+top, "XDG_CONFIG_HOME="+top, // no configuration but these arguments
		jobVariable+"="+filepath.Join(top, "job"))
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOENV"} {
		value, err := exec.CommandContext(ctx, j.Go, "env", name).Output()
		if err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, name+"="+strings.TrimSpace(string(value)))
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("gremlins: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return readFound(out)
}
