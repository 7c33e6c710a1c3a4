package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

func (a *app) containerMount() *cobra.Command {
	c := &cobra.Command{
		Use: "mount CONTAINER FOLDER", Short: "Mount a container's disk", Args: args(2, 2, "a container and a folder"),
		RunE: func(c *cobra.Command, given []string) error {
			if st, err := os.Stat(given[1]); errors.Is(err, os.ErrNotExist) {
				return exitCode{exitNotFound, fmt.Errorf("the folder %s is not there; make it first", given[1])}
			} else if err == nil && !st.IsDir() {
				return usage("%s is not a folder, so nothing can be mounted on it", given[1])
			}
			return a.withDriver(c.Context(), func(d driver) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				m, err := d.Mounts(c.Context(), i.Key)
				if err != nil {
					return err
				}
				return m.At(given[1])
			})
		},
	}
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) containerUnmount() *cobra.Command {
	c := &cobra.Command{
		Use: "umount CONTAINER", Short: "Unmount a container's disk wherever it is mounted", Args: args(1, 1, "one container"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				points, err := mountPoints(i.Device)
				if err != nil {
					return err
				}
				if len(points) == 0 {
					return fmt.Errorf("%w: container %s is not mounted", snapshots.ErrNotFound, given[0])
				}
				for _, p := range points {
					if err := filesystem.Unmount(p); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) containerRollback() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "rollback CONTAINER", Short: "Give a container back the content of its image or of another container", Args: args(1, 1, "one container"),
		Long: `Give a container the content that its image has, or that another container has
(--to): a clone made earlier is a checkpoint. Where it is mounted it is mounted
anew with that content; processes that have the old files open keep those until
they close them.`,
		RunE: func(c *cobra.Command, given []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				from := snapshots.Info{}
				if to != "" {
					if from, err = findContainer(c.Context(), d, to); err != nil {
						return err
					}
				}
				points, err := mountPoints(i.Device)
				if err != nil {
					return err
				}
				m, err := d.Rollback(c.Context(), i.Key, from.Key)
				if err != nil {
					return err
				}
				for _, p := range points {
					if err := m.Replace(p); err != nil {
						return err
					}
				}
				return drain(c.Context(), d)
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "container whose content it gets (default: its image)")
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

// mountPoints are where this mount namespace has a device mounted, the latest first.
func mountPoints(device string) ([]string, error) {
	real, err := filepath.EvalSymlinks(device)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // not active, so not mounted
	}
	if err != nil {
		return nil, err
	}
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return i.Source != device && i.Source != real, false
	})
	if err != nil {
		return nil, err
	}
	points := make([]string, len(infos))
	for n, i := range infos {
		points[len(infos)-1-n] = i.Mountpoint
	}
	return points, nil
}

// mountedAt says where a device is mounted, for an error.
func mountedAt(device string) string {
	points, err := mountPoints(device)
	if err != nil || len(points) == 0 {
		return ""
	}
	return " (on " + strings.Join(points, ", ") + ")"
}
