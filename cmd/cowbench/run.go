package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/disk"
	"github.com/veneerdm/veneer/bench/report"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/internal/durable"
)

// runFlags are what "cowbench run" was told.
type runFlags struct {
	backends, scenarios []string
	quick, full, tiny   bool
	rounds              int
	patience, longest   time.Duration
	budget              time.Duration
	size                string
	store, device       string
	destroy             string
	json, html          string
	all                 bool
	vm                  string
	progress            string
}

func (a *app) runCommand() *cobra.Command {
	var o runFlags
	c := &cobra.Command{
		Use: "run", Short: "Measure and print a table", Args: args(0, 0, "no arguments"),
		Long: `Measure every chosen scenario on every chosen backend, in turn, and print a table.

Stores are made on sparse files in a folder (--store), or on slices of a block
device whose content is lost (--device, with --yes-destroy naming it once more).
Everything is taken away at the end; after a kill, "cowbench clean" does that.

Without root, or on a kernel without dm-thin, the run takes place in a virtual
machine that is booted for it, and the results say so.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c.Context(), o) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.backends, "backends", nil, "backends to measure, NAME or ALIAS=NAME, or all (default thin, overlay, btrfs, reflink, copy)")
	f.StringSliceVar(&o.scenarios, "scenarios", nil, "scenarios to measure (default all)")
	f.BoolVar(&o.quick, "quick", false, "a few minutes: few sizes, five rounds (the default)")
	f.BoolVar(&o.full, "full", false, "every size and up to fifteen rounds, in about an hour; unattended")
	f.BoolVar(&o.tiny, "tiny", false, "the least that exercises everything; numbers mean little")
	f.IntVar(&o.rounds, "rounds", 0, "measured rounds of each case")
	f.DurationVar(&o.patience, "patience", -1, "time in which a quick case may have more rounds (default 250ms, with --full 20s)")
	f.DurationVar(&o.budget, "budget", 0, "what the run should take: on a slow machine cases have fewer rounds (default 2m20s, with --full 1h)")
	f.DurationVar(&o.longest, "longest", 0, "what a round of a case may take on a backend, or it is left out (default 1m)")
	f.StringVar(&o.size, "size", "", "size of each store's disk (default 4G, with --full 16G)")
	f.StringVar(&o.store, "store", defaultStore(), "folder for the stores, on the disk that is to be measured")
	f.StringVar(&o.device, "device", "", "block device for the stores instead; its content is lost")
	f.StringVar(&o.destroy, "yes-destroy", "", "the same device once more, to say that its content may be lost")
	f.StringVar(&o.json, "json", "", "write the result with all samples to a file, - for standard output")
	f.StringVar(&o.html, "html", "", "write the report to a file")
	f.BoolVar(&o.all, "all-metrics", false, "print every metric, not only the main ones")
	f.StringVar(&o.vm, "vm", "auto", "run in a virtual machine: auto, always or never")
	f.Lookup("vm").NoOptDefVal = "always"
	f.StringVar(&o.progress, "progress", "auto", "auto, tty, plain or none")
	_ = f.MarkHidden("tiny") // it is for tests
	return c
}

// defaultStore is a folder that survives a reboot and has a disk below.
func defaultStore() string {
	if dir := os.Getenv("TMPDIR"); dir != "" {
		return filepath.Join(dir, "cowbench")
	}
	return "/var/tmp/cowbench"
}

func (o runFlags) scale() (bench.Scale, error) {
	switch {
	case o.quick && o.full:
		return "", usage("--quick and --full are two answers to one question; give one")
	case o.full:
		return bench.Full, nil
	case o.tiny:
		return bench.Tiny, nil
	}
	return bench.Quick, nil
}

// diskSize is in bytes.
func (o runFlags) diskSize(scale bench.Scale) (uint64, error) {
	if o.size == "" {
		return bench.Pick[uint64](scale, 2<<30, 4<<30, 16<<30), nil
	}
	n, err := bytesize.Parse(o.size)
	if err != nil {
		return 0, usage("--size: %w", err)
	}
	if n < leastDisk {
		return 0, usage("--size %s is too small: the filesystems need %s", o.size, bytesize.Format(leastDisk))
	}
	return n, nil
}

// leastDisk has room for the largest files of the scenarios at quick scale.
const leastDisk = 1 << 30

func (a *app) run(ctx context.Context, o runFlags) error {
	scale, err := o.scale()
	if err != nil {
		return err
	}
	size, err := o.diskSize(scale)
	if err != nil {
		return err
	}
	if o.device == "" && o.destroy != "" || o.device != "" && o.destroy != o.device {
		if o.device == "" {
			return usage("--yes-destroy %s without --device does nothing; name the device with both", o.destroy)
		}
		return usage("everything on %s would be lost: say --yes-destroy %s if that is meant", o.device, o.device)
	}
	scenarios, err := chosenScenarios(o.scenarios)
	if err != nil {
		return err
	}
	entries, named, err := chosenBackends(o.backends)
	if err != nil {
		return err
	}
	if err := a.throughVM(o); err != nil {
		return err
	}
	if named {
		if err := ready(entries); err != nil {
			return err
		}
	}
	rounds := o.rounds
	if rounds <= 0 {
		rounds = bench.Pick(scale, 2, 5, 15)
	}
	if o.patience < 0 {
		o.patience = bench.Pick(scale, 0, 250*time.Millisecond, 20*time.Second)
	}
	if o.longest <= 0 {
		o.longest = time.Minute
	}
	if o.budget <= 0 {
		o.budget = bench.Pick(scale, 0, 140*time.Second, time.Hour)
	}
	result, err := a.measure(ctx, o, bench.Plan{
		Version: version, Command: append([]string{"cowbench"}, a.args...), Backends: entries, Scenarios: scenarios,
		Scale: scale, Rounds: rounds, DiskSize: size, Patience: o.patience, Longest: o.longest, Budget: o.budget,
	})
	if result == nil || err != nil && len(result.Cells) == 0 {
		return err
	}
	if shown := a.show(o, result); shown != nil {
		return errors.Join(err, shown)
	}
	if failed := result.Failed(); err == nil && len(failed) > 0 {
		why := failed[0].Error
		return fmt.Errorf("%d of %d cells went wrong, the first one %s, %s on %s: %s", len(failed), len(result.Cells), failed[0].Scenario, failed[0].Case, failed[0].Backend, why)
	}
	return err
}

// measure runs a plan in a folder of its own.
func (a *app) measure(ctx context.Context, o runFlags, p bench.Plan) (result *bench.Result, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("filesystems are made and mounted, which needs root; with --vm a virtual machine does without")
	}
	folder, err := disk.NewFolder(o.store)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	source := disk.Files(folder)
	if o.device != "" {
		if source, err = disk.Device(folder, o.device); err != nil {
			return nil, err
		}
	}
	if err := source.Room(len(p.Backends), p.DiskSize); err != nil {
		return nil, err
	}
	if p.Dir, err = folder.Sub("stores"); err != nil {
		return nil, err
	}
	show := newProgress(a.stderr, o.progress)
	defer show.end()
	p.Disk, p.Progress = source.Disk, show.step
	p.Environment = func() bench.Environment {
		e := bench.Machine()
		e.Backing, e.DiskSize = source.String(), p.DiskSize
		addVersions(ctx, e.Versions)
		return e
	}
	return bench.Run(ctx, p)
}

// show writes a result wherever it was asked for.
func (a *app) show(o runFlags, r *bench.Result) error {
	table := a.stdout
	if o.json == "-" {
		table = a.stderr
	}
	err := report.Table(table, r, report.TableOptions{Color: isTerminal(table), All: o.all})
	if o.json == "-" {
		return errors.Join(err, r.Write(a.stdout))
	}
	if o.json != "" {
		err = errors.Join(err, writeFile(o.json, r.Write))
	}
	if o.html != "" {
		err = errors.Join(err, writeFile(o.html, func(w io.Writer) error { return report.Page(w, r) }))
	}
	return err
}

func writeFile(path string, write func(io.Writer) error) error {
	if err := durable.WriteFile(path, 0o644, func(f *os.File) error { return write(f) }); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
