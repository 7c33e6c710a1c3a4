package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/snapshots"
)

func (a *app) snapshotCommand() *cobra.Command {
	return group("snapshot", "Look at snapshots as the driver knows them", a.snapshotList(), a.snapshotRemove())
}

// snapshotReport is a snapshot for programs.
type snapshotReport struct {
	Key        string `json:"key"`
	Parent     string `json:"parent,omitempty"`
	Kind       string `json:"kind"`
	State      string `json:"state"` // ok or lost
	ThinID     uint32 `json:"thin_id"`
	Size       uint64 `json:"size"` // bytes
	Filesystem string `json:"filesystem,omitempty"`
}

var snapshotRows = listing[snapshotReport]{
	header: []string{"KEY", "KIND", "STATE", "THIN", "SIZE", "FILESYSTEM", "PARENT"},
	row: func(s snapshotReport) []string {
		return []string{s.Key, s.Kind, s.State, fmt.Sprint(s.ThinID), bytesize.Format(s.Size), s.Filesystem, s.Parent}
	},
	name: func(s snapshotReport) string { return s.Key },
}

func (a *app) snapshotList() *cobra.Command {
	var lost bool
	c := &cobra.Command{
		Use: "ls", Short: "List snapshots: layers, containers and views", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				var all []snapshotReport
				err := d.Walk(c.Context(), func(_ context.Context, i snapshots.Info) error {
					r := snapshotReport{
						Key: i.Key, Parent: i.Parent, Kind: string(i.Kind), State: "ok",
						ThinID: uint32(i.ThinID), Size: i.Size, Filesystem: i.Filesystem,
					}
					if i.Lost {
						r.State = "lost"
					}
					if i.Lost || !lost {
						all = append(all, r)
					}
					return nil
				})
				if err != nil {
					return err
				}
				return show(a, snapshotRows, all)
			})
		},
	}
	c.Flags().BoolVar(&lost, "lost", false, "only those whose thin devices the pool has lost")
	return c
}

func (a *app) snapshotRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "rm KEY...", Short: "Remove snapshots by their keys", Args: args(1, -1, "keys"),
		Long: `Remove snapshots by the keys that "veneer snapshot ls" shows: such as what "veneer doctor"
calls lost, or has adopted as recovered-ID and nobody needs. What has children, such as a
layer of an image that something stands on, is refused.`,
		RunE: func(c *cobra.Command, given []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				for _, key := range given {
					holders, err := d.Holders(c.Context(), key)
					if err == nil && holders > 0 {
						err = fmt.Errorf("%w: snapshot %s is mounted or open; unmount it", snapshots.ErrInUse, key)
					}
					if err == nil {
						err = d.Remove(c.Context(), key)
					}
					if err != nil {
						return err
					}
					if !a.quiet {
						fmt.Fprintln(a.stdout, key)
					}
				}
				return drain(c.Context(), d)
			})
		},
	}
	c.ValidArgsFunction = a.completed(func(d driver, _ *images.Store) (keys []string) {
		// Completion shows nothing when this fails.
		_ = d.Walk(context.Background(), func(_ context.Context, i snapshots.Info) error {
			keys = append(keys, i.Key)
			return nil
		})
		return keys
	})
	return c
}
