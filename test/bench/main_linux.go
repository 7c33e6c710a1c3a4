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

	"github.com/veneerdm/veneer/devmapper"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b := &bench{}
	var strict bool
	var only string
	flag.BoolVar(&strict, "strict", false, "end with status 1 when a target is missed")
	flag.StringVar(&only, "only", "", "measure only the groups whose names match this regular expression")
	flag.IntVar(&b.n, "n", 200, "repetitions of each operation")
	flag.IntVar(&b.rounds, "rounds", 3, "repetitions of each import")
	flag.IntVar(&b.many, "many", 5000, "snapshots in the pool that is measured against one with 10")
	flag.StringVar(&b.layout, "images", ".cache/images/demo.oci", "OCI layout with the image nginx:demo")
	child := flag.Bool("import", false, "import a layout into a store and print the memory it took; for the program itself")
	flag.Parse()
	// On one processor the runtime would take its only P away in every system call
	// that waits, and wake a thread to do so; no server is that small.
	runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	var met bool
	var err error
	if *child {
		met, err = true, importChild(ctx, flag.Arg(0), flag.Arg(1))
	} else {
		met, err = b.all(ctx, only)
	}
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case strict && !met:
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	n, rounds, many int
	layout          string

	dir     string
	kernel  devmapper.Transport // counts nothing
	dm      *devmapper.Client   // counts
	counter *counter
	rows    []row
}

// group is what is measured together.
type group struct {
	name    string
	measure func(context.Context) error
}

// patience is how long a group may take: ten times what it does.
const patience = 10 * time.Minute

func (g group) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return g.measure(ctx)
}

// all measures and prints. met says that no target was missed.
func (b *bench) all(ctx context.Context, only string) (met bool, err error) {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	if os.Geteuid() != 0 {
		return false, errors.New("block devices are made, which needs root: run \"make bench\", which brings a kernel of its own")
	}
	b.counter = &counter{}
	b.dm, err = devmapper.OpenThrough(func(kernel devmapper.Transport) devmapper.Transport {
		b.kernel, b.counter.Transport = kernel, kernel
		return b.counter
	})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, b.dm.Close()) }()
	if b.layout, err = filepath.Abs(b.layout); err != nil {
		return false, err
	}
	if b.dir, err = os.MkdirTemp(os.Getenv("VENEER_SCRATCH"), "veneer-bench-"); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	for _, g := range []group{
		{"operations", b.operations}, {"flat", b.flat}, {"imports", b.imports}, {"memory", b.memory}, {"mappings", b.mappings},
	} {
		if !chosen.MatchString(g.name) {
			continue
		}
		began := time.Now()
		if err := g.run(ctx); err != nil {
			return false, fmt.Errorf("%s: %w", g.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: measured %s in %s\n", g.name, time.Since(began).Round(time.Second))
	}
	met = true
	for _, r := range b.rows {
		met = met && r.met
	}
	return met, printTable(os.Stdout, b.rows)
}

func (b *bench) add(r row) { b.rows = append(b.rows, r) }
