package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/snapshots"
)

// A container is an active snapshot whose key has a prefix, so that it never meets
// an image's layer, and whose image is in a label.
const (
	containerPrefix = "container/"
	labelImage      = "veneer/image"
)

func (a *app) containerCommand() *cobra.Command {
	return group("container", "Make and use containers: writable snapshots of images",
		a.containerCreate(), a.containerList(), a.containerMount(), a.containerUnmount(), a.containerExec(), a.containerDiff(),
		a.containerCommit(), a.containerClone(), a.containerRollback(), a.containerResize(), a.containerRemove())
}

var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

func containerKey(name string) (string, error) {
	if !nameRule.MatchString(name) {
		return "", usage("container name %q; letters, digits, _ . and - are possible, 128 at most", name)
	}
	return containerPrefix + name, nil
}

// findContainer gives a container's snapshot.
func findContainer(ctx context.Context, d driver, name string) (snapshots.Info, error) {
	key, err := containerKey(name)
	if err != nil {
		return snapshots.Info{}, err
	}
	i, err := d.Stat(ctx, key)
	if errors.Is(err, snapshots.ErrNotFound) {
		return i, exitCode{exitNotFound, fmt.Errorf("no container is called %q; see \"veneer container ls\"", name)}
	}
	return i, err
}

// taken says in a person's words that a container's name is taken.
func taken(name string, err error) error {
	if errors.Is(err, snapshots.ErrExists) {
		return exitCode{exitInUse, fmt.Errorf("a container is called %q already; choose another name or remove it", name)}
	}
	return err
}

func containersOf(d driver) func(context.Context, images.Record) ([]string, error) {
	return func(ctx context.Context, r images.Record) (names []string, err error) {
		err = d.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			if strings.HasPrefix(i.Key, containerPrefix) && i.Labels[labelImage] == r.Name {
				names = append(names, strings.TrimPrefix(i.Key, containerPrefix))
			}
			return nil
		})
		return names, err
	}
}

func (a *app) containerCreate() *cobra.Command {
	var name string
	var bytes bytesize.Size
	c := &cobra.Command{
		Use: "create IMAGE", Short: "Make a container of an image", Args: args(1, 1, "one image"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.withImages(c.Context(), func(d driver, s *images.Store) error {
				r, err := s.Lookup(given[0])
				if err != nil {
					return err
				}
				if name == "" {
					name = freshName()
				}
				key, err := containerKey(name)
				if err != nil {
					return err
				}
				_, err = d.Prepare(c.Context(), key, r.Top(), snapshots.WithSize(uint64(bytes)), snapshots.WithLabels(map[string]string{labelImage: r.Name}))
				if err != nil {
					return taken(name, err)
				}
				fmt.Fprintln(a.stdout, name)
				return nil
			})
		},
	}
	c.Flags().StringVar(&name, "name", "", "what to call it (default: a word and a number)")
	c.Flags().Var(&bytes, "size", "size of its disk (default: the image's)")
	c.ValidArgsFunction = a.completed(imageNames)
	return c
}

// containerReport is a container for programs.
type containerReport struct {
	Name       string `json:"name"`
	Image      string `json:"image"`
	Filesystem string `json:"filesystem"`
	Device     string `json:"device"`
	Size       uint64 `json:"size"`
	InUse      bool   `json:"inUse"`
	Created    string `json:"created"`
	Added      uint64 `json:"added"`
	Mapped     uint64 `json:"mapped"`
	since      string
}

func (a *app) containerList() *cobra.Command {
	var sizes bool
	c := &cobra.Command{
		Use: "ls", Short: "List containers", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			return a.withDriver(ctx, func(d driver) error {
				var all []containerReport
				err := d.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
					if !strings.HasPrefix(i.Key, containerPrefix) {
						return nil
					}
					r := containerReport{
						Name: strings.TrimPrefix(i.Key, containerPrefix), Image: images.ShortName(i.Labels[labelImage]), Filesystem: i.Filesystem,
						Device: i.Device, Size: i.Size, Created: i.Created.Format("2006-01-02T15:04:05Z07:00"), since: ago(i.Created),
					}
					holders, err := d.Holders(ctx, i.Key)
					if err != nil {
						return err
					}
					r.InUse = holders > 0
					if sizes {
						u, err := d.Usage(ctx, i.Key)
						if err != nil {
							return err
						}
						r.Added, r.Mapped = u.Added, u.Mapped
					}
					all = append(all, r)
					return nil
				})
				if err != nil {
					return err
				}
				return show(a, containerRows(sizes), all)
			})
		},
	}
	c.Flags().BoolVarP(&sizes, "size", "s", false, "count the blocks that each container has of its own")
	return c
}

func containerRows(sizes bool) listing[containerReport] {
	l := listing[containerReport]{
		header: []string{"CONTAINER", "IMAGE", "FILESYSTEM", "DISK", "IN USE", "CREATED"},
		name:   func(r containerReport) string { return r.Name },
		row: func(r containerReport) []string {
			return []string{r.Name, r.Image, r.Filesystem, bytesize.Format(r.Size), fmt.Sprint(r.InUse), r.since}
		},
	}
	if sizes {
		plain := l.row
		l.header = append(l.header, "ADDED", "MAPPED")
		l.row = func(r containerReport) []string {
			return append(plain(r), bytesize.Format(r.Added), bytesize.Format(r.Mapped))
		}
	}
	return l
}

func (a *app) containerDiff() *cobra.Command {
	c := &cobra.Command{
		Use: "diff CONTAINER", Short: "List what a container has changed", Args: args(1, 1, "one container"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.withImages(c.Context(), func(d driver, s *images.Store) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				changes, err := s.Changes(c.Context(), i.Key)
				if err != nil {
					return err
				}
				return a.printChanges(changes)
			})
		},
	}
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) containerCommit() *cobra.Command {
	var o images.CommitOptions
	c := &cobra.Command{
		Use: "commit CONTAINER IMAGE", Short: "Make an image of what a container has changed", Args: args(2, 2, "a container and a name for the image"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.changingImages(c.Context(), func(d driver, s *images.Store) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				o.Base = i.Labels[labelImage]
				return a.watching(func(p images.Progress) error {
					o.Progress = p
					r, err := s.Commit(c.Context(), i.Key, given[1], o)
					if err == nil {
						fmt.Fprintln(a.stdout, r.ID())
					}
					return err
				})
			})
		},
	}
	c.Flags().StringVarP(&o.Author, "author", "a", "", "author, for the history")
	c.Flags().StringVarP(&o.Comment, "message", "m", "", "comment, for the history")
	c.Flags().StringArrayVarP(&o.Changes, "change", "c", nil, "Dockerfile instruction for the configuration; may be repeated")
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) containerClone() *cobra.Command {
	var bytes bytesize.Size
	c := &cobra.Command{
		Use: "clone CONTAINER NEW", Short: "Copy a container as it is now, mounted or not", Args: args(2, 2, "a container and a name for the copy"),
		RunE: func(c *cobra.Command, given []string) error {
			to, err := containerKey(given[1])
			if err != nil {
				return err
			}
			return a.withDriver(c.Context(), func(d driver) error {
				from, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				if _, err := d.Clone(c.Context(), to, from.Key, snapshots.WithSize(uint64(bytes))); err != nil {
					return taken(given[1], err)
				}
				fmt.Fprintln(a.stdout, given[1])
				return nil
			})
		},
	}
	c.Flags().Var(&bytes, "size", "size of the copy's disk (default: the same)")
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) containerResize() *cobra.Command {
	c := &cobra.Command{
		Use: "resize CONTAINER SIZE", Short: "Make a container's disk larger, mounted or not", Args: args(2, 2, "a container and a size"),
		RunE: func(c *cobra.Command, given []string) error {
			var to bytesize.Size
			if err := to.Set(given[1]); err != nil {
				return usage("%w", err)
			}
			return a.withDriver(c.Context(), func(d driver) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				return d.Resize(c.Context(), i.Key, uint64(to))
			})
		},
	}
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) containerRemove() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm CONTAINER...", Short: "Remove containers", Args: args(1, -1, "containers"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.withDriver(c.Context(), func(d driver) error {
				for _, name := range given {
					if err := a.removeContainer(c.Context(), d, name, force); err != nil {
						return err
					}
				}
				return drain(c.Context(), d)
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "also while it is mounted: its disk goes at the unmount")
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

func (a *app) removeContainer(ctx context.Context, d driver, name string, force bool) error {
	i, err := findContainer(ctx, d, name)
	if err != nil {
		return err
	}
	holders, err := d.Holders(ctx, i.Key)
	if err != nil {
		return err
	}
	if holders > 0 && !force {
		return fmt.Errorf("%w: container %s is mounted or open%s; unmount it, or say --force", snapshots.ErrInUse, name, mountedAt(i.Device))
	}
	if err := d.Remove(ctx, i.Key); err != nil {
		return err
	}
	if !a.quiet {
		fmt.Fprintln(a.stdout, name)
	}
	return nil
}

func containerNames(d driver, _ *images.Store) (names []string) {
	// Completion shows nothing when this fails.
	_ = d.Walk(context.Background(), func(_ context.Context, i snapshots.Info) error {
		if name, ok := strings.CutPrefix(i.Key, containerPrefix); ok {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names
}
