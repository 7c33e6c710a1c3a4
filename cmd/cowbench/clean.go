package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/bench/disk"
)

func (a *app) cleanCommand() *cobra.Command {
	var store string
	c := &cobra.Command{
		Use: "clean", Short: "Take away what killed runs have left", Args: args(0, 0, "no arguments"),
		Long: `Take away what runs that were killed have left: mounts, device-mapper devices,
loop devices and files. Runs that go on are left alone, and so is everything that no
run of cowbench made.`,
		RunE: func(*cobra.Command, []string) error {
			folders, err := disk.Folders(store)
			if err != nil {
				return err
			}
			if len(folders) > 0 && os.Geteuid() != 0 {
				return errors.New("unmounting needs root: run cowbench clean as root")
			}
			var errs []error
			for _, f := range folders {
				err := f.Sweep()
				switch {
				case errors.Is(err, disk.ErrRunning):
					fmt.Fprintf(a.stdout, "%s is still running and is left alone\n", f.Path)
				case err != nil:
					errs = append(errs, err)
				default:
					fmt.Fprintf(a.stdout, "%s is gone\n", f.Path)
				}
			}
			if len(folders) == 0 {
				fmt.Fprintf(a.stdout, "no run has left anything in %s\n", store)
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().StringVar(&store, "store", defaultStore(), "folder that the runs were given")
	return c
}
