package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b := &bench{}
	var strict bool
	var only string
	flag.BoolVar(&strict, "strict", false, "end with status 1 when a target is missed")
	flag.StringVar(&only, "only", "", "measure only the groups whose names match this regular expression")
	flag.IntVar(&b.n, "n", 20, "repetitions of each operation")
	flag.IntVar(&b.rounds, "rounds", 5, "repetitions of unpacking and starting")
	flag.IntVar(&b.layers, "layers", 128, "length of the chain of layers")
	flag.StringVar(&b.veneer, "veneer", "bin/veneer", "the daemon to measure")
	flag.StringVar(&b.layout, "images", ".cache/images/demo.oci", "OCI layout with the image nginx:demo")
	flag.Parse()
	// On one processor the runtime would take its only P away in every system call
	// that waits. The daemons get the same.
	runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	met, err := b.all(ctx, only)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench-containerd:", err)
		os.Exit(2)
	case strict && !met:
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	n, rounds, layers int
	veneer, layout    string

	dir   string
	table table
}

// Both pools have these sizes; the files are sparse.
const (
	poolSize     = 20 << 30
	metadataSize = 128 << 20
	baseSize     = 10 << 30
)

// patience is how long a group may take: several times what it does.
const patience = 15 * time.Minute

// all measures and prints. met says that no target was missed.
func (b *bench) all(ctx context.Context, only string) (met bool, err error) {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	if os.Geteuid() != 0 {
		return false, errors.New("block devices are made, which needs root: run \"make bench-containerd\", which brings a kernel of its own")
	}
	for _, path := range []*string{&b.veneer, &b.layout} {
		if *path, err = filepath.Abs(*path); err != nil {
			return false, err
		}
	}
	// Both tell dmsetup, which devmapper calls, and find it.
	if err := errors.Join(os.Setenv("DM_DISABLE_UDEV", "1"), os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"),
		log.SetLevel("error")); err != nil {
		return false, err
	}
	if b.dir, err = os.MkdirTemp(os.Getenv("VENEER_SCRATCH"), "veneer-bench-"); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	ctx = namespaces.WithNamespace(ctx, "bench")
	// What was measured is shown even when something else could not be.
	defer func() {
		b.describe()
		met, err = b.table.met(), errors.Join(err, b.table.print(os.Stdout))
	}()
	for _, g := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"operations", b.operations}, {"containers", b.containers}, {"chain", b.chain},
	} {
		if !chosen.MatchString(g.name) {
			continue
		}
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, patience)
		err := g.measure(limited)
		cancel()
		if err != nil {
			return false, fmt.Errorf("%s: %w", g.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench-containerd: measured %s in %s\n", g.name, time.Since(began).Round(time.Second))
	}
	return true, nil
}
