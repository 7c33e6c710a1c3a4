package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/internal/durable"
	"github.com/veneerdm/veneer/snapshots"
)

func (a *app) backupCommand() *cobra.Command {
	out := "-"
	c := &cobra.Command{
		Use: "backup", Short: "Write a copy of the catalog, also while the store is in use", Args: args(0, 0, "no arguments"),
		Long: `Write a consistent copy of the catalog: which snapshot is which thin device of the pool,
and the images' records. What the snapshots hold is in the pool, whose disks are backed up
like any other disk, and the images' blobs are in the folder content of the store.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				if out == "-" {
					return d.Backup(c.Context(), a.stdout)
				}
				return writeTo(out, func(f *os.File) error { return d.Backup(c.Context(), f) })
			})
		},
	}
	c.Flags().StringVarP(&out, "output", "o", out, "file to write, - for standard output")
	return c
}

// writeTo writes a file. A new one, or one that takes the place of a regular file, appears
// when it is complete; anything else, such as a device or a pipe, is written to.
func writeTo(path string, write func(*os.File) error) error {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Mode().IsRegular() {
		return durable.WriteFile(path, 0o600, write)
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Short: "Put back a copy of the catalog, and bring it to agreement with the pool", Args: args(1, 1, "one file, or -"),
		Long: `Put back a catalog that "veneer backup" wrote, and bring it to agreement with the pool as
"veneer doctor --fix" does. Nothing is deleted: what was made since the backup is adopted as
snapshots named recovered-ID, what was removed since is marked lost. The catalog that was
there is kept beside it. The daemon must be stopped.`,
		RunE: func(c *cobra.Command, given []string) (err error) {
			if err := requireRoot(); err != nil {
				return err
			}
			in := os.Stdin
			if given[0] != "-" {
				if in, err = os.Open(given[0]); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, in.Close()) }()
			}
			findings, err := snapshots.Restore(c.Context(), a.driverConfig(), in)
			left := 0
			for _, f := range findings {
				if f.Done {
					fmt.Fprintf(a.stdout, "%s; done: %s\n", f.What, f.Cure)
					continue
				}
				left++
				fmt.Fprintf(a.stdout, "%s; %s\n", f.What, f.Cure)
			}
			if err == nil && left > 0 {
				err = exitCode{exitPool, fmt.Errorf("the catalog is back; %d things need somebody", left)}
			}
			return err
		},
	}
}
