package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// A builder compiles test binaries, each package once for each set of build tags.
type builder struct {
	top    string // of the repository
	folder string // for the binaries
	out    io.Writer
	built  map[string]bool
}

// binary is the path of a job's test binary.
func (b *builder) binary(j job) string {
	name := "crash-" + path.Base(j.pkg)
	if j.tags != "" {
		name += "-" + j.tags
	}
	return filepath.Join(b.folder, name+".test")
}

func (b *builder) build(ctx context.Context, jobs []job) error {
	for _, j := range jobs {
		file := b.binary(j)
		if b.built[file] {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", j.tags, "-o", file, "./"+j.pkg)
		cmd.Dir, cmd.Stdout, cmd.Stderr = b.top, b.out, b.out
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that go ends its compilers
		cmd.WaitDelay = grace
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build the tests of %s: %w", j.pkg, errors.Join(err, context.Cause(ctx)))
		}
		b.built[file] = true
	}
	return nil
}

// topOfRepository is the working directory, which must be the top of the repository.
func topOfRepository() (string, error) {
	top, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for _, needed := range []string{"go.mod", "bin/vm", "bin/veneer"} {
		if _, err := os.Stat(filepath.Join(top, needed)); err != nil {
			return "", fmt.Errorf("%s has no %s: run this from the top of the repository, with make: %w", top, needed, err)
		}
	}
	return top, nil
}
