package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
)

func (a *app) poolCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Verify all of the pool's metadata and the catalog", Args: args(0, 0, "no arguments"),
		Long: `Read every block of the pool's metadata and verify its checksum, place, order and
bounds; then the catalog's own rules. A pool in use is read while it works. A pool
at rest stays at rest, and thin_check verifies its counts as well. Nothing is written.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			sb, err := a.check(c.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "metadata and catalog are whole; %d of %d snapshots that a pool can ever make were made\n", sb.Time, 1<<24)
			return nil
		},
	}
}

func (a *app) check(ctx context.Context) (sb dmthin.Superblock, err error) {
	sb, active, err := snapshots.CheckAtRest(ctx, a.driverConfig())
	if !active && !errors.Is(err, snapshots.ErrLocked) {
		return sb, err
	}
	err = a.withDriver(ctx, func(d driver) error {
		sb, err = d.Check(ctx)
		return err
	})
	return sb, err
}

func (a *app) poolRepair() *cobra.Command {
	return &cobra.Command{
		Use: "repair", Short: "Make a good copy of damaged pool metadata, and use it", Args: args(0, 0, "no arguments"),
		Long: `Make a good copy of what can be read of the pool's metadata, with thin_repair, verify
it with thin_check and put it in the old one's place. The old metadata is kept in a
file. The pool must be at rest: see "veneer pool deactivate". What could not be saved
is named, and the next start marks it lost.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			r, err := snapshots.RepairPool(c.Context(), a.driverConfig())
			if errors.Is(err, snapshots.ErrLocked) {
				return a.withLocal(c.Context(), func(*snapshots.Driver) error { return err }) // says who has it
			}
			if err != nil {
				return err
			}
			return a.printRepair(r)
		},
	}
}

func (a *app) printRepair(r snapshots.Repair) error {
	say := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	if r.Damage == nil {
		say("the metadata of pool %s is whole; nothing was done", r.Pool)
		return nil
	}
	say("pool %s: %s", r.Pool, sentence(r.Damage))
	say("its metadata is repaired, with %d thin devices; the old one is kept in %s", r.Thins, r.Kept)
	if r.Guessed {
		say("its first block was lost, and the youngest state that the others show is used; check the filesystems of what was written last")
	}
	for _, key := range r.Lost {
		say("snapshot %q could not be saved; \"veneer doctor --fix\" drops its record", key)
	}
	for _, key := range r.Shrunk {
		say("snapshot %q has lost blocks; check its filesystem", key)
	}
	if n := len(r.Unknown); n > 0 {
		say("%d thin devices came back that no record leads to; \"veneer doctor --fix\" deletes them", n)
	}
	if lost := len(r.Lost) + len(r.Shrunk); lost > 0 {
		return exitCode{exitPool, fmt.Errorf("%d snapshots are not what they were", lost)}
	}
	return nil
}

func (a *app) poolDeactivate() *cobra.Command {
	return &cobra.Command{
		Use: "deactivate", Short: "Take all devices of the pool away, as before a shutdown", Args: args(0, 0, "no arguments"),
		Long: `Take all devices of the pool away, even of one that is damaged or has failed. Nothing
is lost: the next command brings them back.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			err := snapshots.TakeDown(c.Context(), a.driverConfig())
			if errors.Is(err, snapshots.ErrLocked) {
				return a.withLocal(c.Context(), func(d *snapshots.Driver) error { return d.Deactivate(c.Context()) })
			}
			return err
		},
	}
}
