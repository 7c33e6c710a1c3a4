package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// infoReport is the store for programs.
type infoReport struct {
	Version    string     `json:"version"`
	Root       string     `json:"root"`
	DM         string     `json:"deviceMapper"`
	ThinPool   string     `json:"thinPoolTarget"`
	Udev       bool       `json:"udev"`
	Images     int        `json:"images"`
	Containers int        `json:"containers"`
	Snapshots  int        `json:"snapshots"`
	Pool       poolReport `json:"pool"`
}

func (a *app) infoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info", Short: "Show the store, the kernel and the pool", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				r, err := a.gather(c.Context(), d)
				if err != nil {
					return err
				}
				lines := []pair{
					{"Version", r.Version}, {"Root", r.Root}, {"Driver Version", r.DM}, {"Thin Pool Target", r.ThinPool}, {"Udev Running", r.Udev},
					{"Images", r.Images}, {"Containers", r.Containers}, {"Snapshots", r.Snapshots},
				}
				return describe(a, r, append(lines, r.Pool.lines()...))
			})
		},
	}
}

func (a *app) gather(ctx context.Context, d driver) (r infoReport, err error) {
	r.Version, r.Root = version, a.root
	dm, err := devmapper.Open()
	if err != nil {
		return r, err
	}
	v, err1 := dm.Version()
	target, err2 := dm.TargetVersion("thin-pool")
	if err := errors.Join(err1, err2, dm.Close()); err != nil {
		return r, err
	}
	r.DM, r.ThinPool = v.String(), target.String()
	_, err = os.Stat("/run/udev/control")
	r.Udev = err == nil
	records, err := d.Records()
	if err != nil {
		return r, err
	}
	r.Images, r.Containers = len(records), len(containerNames(d, nil))
	if err := d.Walk(ctx, func(context.Context, snapshots.Info) error { r.Snapshots++; return nil }); err != nil {
		return r, err
	}
	pool, err := d.Pool(ctx)
	r.Pool = report(pool)
	return r, err
}

func (a *app) doctorCommand() *cobra.Command {
	var fix bool
	c := &cobra.Command{
		Use: "doctor", Short: "Find what disagrees: catalog, pool, live devices, this machine", Args: args(0, 0, "no arguments"),
		Long: `Look for what is missing on this machine, and compare the catalog, the pool's own
list of thin devices, and the devices that are active. Says what it would do about each
disagreement, and does it with --fix. A fix deletes no thin device: one that no record
knows is adopted as a snapshot named recovered-ID. A snapshot whose thin device the pool
has lost is reported until somebody removes it; everything else is served meanwhile.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			troubles := a.machineTroubles()
			findings, err := snapshots.Examine(c.Context(), a.driverConfig(), fix)
			for _, f := range findings {
				state := "would"
				if f.Done {
					state = "done:"
				}
				fmt.Fprintf(a.stdout, "%s; %s %s\n", f.What, state, f.Cure)
				if !f.Done {
					troubles++
				}
			}
			if errors.Is(err, snapshots.ErrLocked) {
				return a.askDaemon(c.Context(), troubles, err)
			}
			if err == nil && fix {
				err = a.collect(c.Context())
			}
			if err != nil {
				return err
			}
			if troubles > 0 {
				return exitCode{exitPool, fmt.Errorf("%d things are not as they should be", troubles)}
			}
			fmt.Fprintln(a.stdout, "all is well: the catalog, the pool and the live devices agree")
			return nil
		},
	}
	c.Flags().BoolVar(&fix, "fix", false, "mend what can be mended")
	return c
}

// askDaemon is the doctor's visit to a store that a daemon has: it compared
// catalog, pool and devices when it started, and can verify the metadata at any time.
func (a *app) askDaemon(ctx context.Context, troubles int, locked error) error {
	d, err := a.openDriver(ctx)
	if err != nil {
		return err
	}
	_, err = d.Check(ctx)
	var p snapshots.PoolInfo
	if err == nil {
		p, err = d.Pool(ctx)
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	if p.Lost > 0 {
		troubles += p.Lost
		fmt.Fprintf(a.stdout, "the pool has lost what %d snapshots held; \"veneer snapshot ls --lost\" names them\n", p.Lost)
	}
	if n := len(p.Unknown); n > 0 {
		troubles += n
		fmt.Fprintf(a.stdout, "the pool has %d thin devices that no record leads to; stop the daemon and run \"veneer doctor --fix\"\n", n)
	}
	if troubles > 0 {
		return exitCode{exitPool, fmt.Errorf("%d things are not as they should be", troubles)}
	}
	who := ""
	if l, ok := errors.AsType[*metadata.LockedError](locked); ok {
		who = fmt.Sprintf(" (process %d)", l.PID)
	}
	fmt.Fprintf(a.stdout, "all is well: the pool's metadata and the catalog are whole, and the daemon%s compared them with the live devices when it started\n", who)
	return nil
}

// collect removes what interrupted imports and removals left, which no image needs.
func (a *app) collect(ctx context.Context) error {
	return a.changingImages(ctx, func(d driver, s *images.Store) error {
		r, err := s.Collect(ctx)
		if err != nil {
			return err
		}
		if len(r.Layers)+len(r.Blobs) > 0 {
			fmt.Fprintf(a.stdout, "%d layers and %d blobs that no image needs; done: removed\n", len(r.Layers), len(r.Blobs))
		}
		return drain(ctx, d)
	})
}

// machineTroubles says what the machine lacks.
func (a *app) machineTroubles() (n int) {
	say := func(format string, args ...any) {
		n++
		fmt.Fprintf(a.stdout, format+"\n", args...)
	}
	dm, err := devmapper.Open()
	if err != nil {
		say("%s", sentence(err))
		return n
	}
	for target, module := range map[string]string{"thin-pool": "dm_thin_pool", "thin": "dm_thin_pool"} {
		if _, err := dm.TargetVersion(target); err != nil {
			say("this kernel has no %s target; load it with \"modprobe %s\"", target, module)
		}
	}
	if err := dm.Close(); err != nil {
		say("%s", sentence(err))
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		say("there are no loop devices; \"modprobe loop\" brings them")
	}
	for _, tool := range filesystem.MissingTools(firstOf(a.config.Pool.Filesystem, filesystem.Default)) {
		say("%s is not there; install it", tool)
	}
	return n
}

// removeContent takes away the images' blobs with the pool that held their layers,
// and the store's folder if nothing else is in it.
func removeContent(root string) error {
	err := errors.Join(os.RemoveAll(filepath.Join(root, "content")), os.RemoveAll(filepath.Join(root, "spool")), os.RemoveAll(filepath.Join(root, "images.lock")))
	_ = os.Remove(root) // it stays when somebody put something there
	return err
}

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "Write the manual pages into a folder", Hidden: true, Args: args(1, 1, "a folder"),
		RunE: func(c *cobra.Command, given []string) error {
			if err := os.MkdirAll(given[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(c.Root(), &doc.GenManHeader{Title: "VENEER", Section: "8", Source: "Veneer " + version}, given[0])
		},
	}
}
