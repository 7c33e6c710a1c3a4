package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/internal/durable"
	"github.com/veneerdm/veneer/snapshots"
)

func (a *app) imageCommand() *cobra.Command {
	return group("image", "Bring images in and out, and look at them",
		a.imageImport(), a.imagePull(), a.imagePush(), a.imageSave(), a.imageList(), a.imageHistory(), a.imageUsage(), a.imageTree(), a.imageRemove())
}

func (a *app) importOne(c *cobra.Command, source images.Source, o images.ImportOptions) error {
	return a.changingImages(c.Context(), func(_ driver, s *images.Store) error {
		var r images.Record
		err := a.watching(func(p images.Progress) (err error) {
			o.Progress = p
			r, err = s.ImportSource(c.Context(), source, o)
			return err
		})
		if err != nil {
			return err
		}
		if a.quiet {
			fmt.Fprintln(a.stdout, r.ID())
			return nil
		}
		fmt.Fprintf(a.stdout, "%s %s: %d layers\n", images.ShortName(r.Name), short(r.ID().String()), len(r.Layers))
		return nil
	})
}

func importFlags(c *cobra.Command, o *images.ImportOptions) {
	c.Flags().Var((*diskSize)(o), "size", "size of the image's disk (default: the pool's base size)")
	c.Flags().StringVar(&o.Name, "name", "", "what to call the image (default: what the source calls it)")
	c.Flags().StringVar(&o.Platform, "platform", "", "os/architecture[/variant] to choose from several")
}

// diskSize is a flag for the size of the snapshots that an import makes.
type diskSize images.ImportOptions

func (d *diskSize) Set(text string) error {
	var s bytesize.Size
	err := s.Set(text)
	d.Snapshot = append(d.Snapshot, snapshots.WithSize(uint64(s)))
	return err
}

func (*diskSize) String() string { return "" }
func (*diskSize) Type() string   { return "size" }

func (a *app) imageImport() *cobra.Command {
	var o images.ImportOptions
	c := &cobra.Command{
		Use: "import SOURCE", Short: "Import an image from a layout, an archive, a registry or containerd", Args: args(1, 1, "one source"),
		Long: `Import an image. SOURCE is oci:DIR[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:REF], docker://REF, containerd:REF (from the content store of
the containerd on this machine, without a download), a path (its content tells what
it is), or a registry reference. An interrupted import goes on where it was.`,
		Example: "  veneer image import ./nginx.tar\n  veneer image import oci:images:nginx --name nginx",
		RunE: func(c *cobra.Command, given []string) error {
			src, err := images.ParseSource(given[0])
			if err != nil {
				return err
			}
			return a.importOne(c, src, o)
		},
	}
	importFlags(c, &o)
	return c
}

func (a *app) imagePull() *cobra.Command {
	var o images.ImportOptions
	c := &cobra.Command{
		Use: "pull REFERENCE", Short: "Import an image from a registry", Args: args(1, 1, "one reference"),
		RunE: func(c *cobra.Command, given []string) error {
			name, err := images.ParseName(given[0])
			if err != nil {
				return err
			}
			return a.importOne(c, images.Source{Kind: images.FromRegistry, Ref: name}, o)
		},
	}
	importFlags(c, &o)
	return c
}

func (a *app) imagePush() *cobra.Command {
	c := &cobra.Command{
		Use: "push IMAGE [REFERENCE]", Short: "Send an image to a registry", Args: args(1, 2, "an image and perhaps a reference"),
		RunE: func(c *cobra.Command, given []string) error {
			to := ""
			if len(given) == 2 {
				to = given[1]
			}
			return a.withImages(c.Context(), func(_ driver, s *images.Store) error {
				return a.watching(func(p images.Progress) error { return s.Push(c.Context(), given[0], to, p) })
			})
		},
	}
	c.ValidArgsFunction = a.completed(imageNames)
	return c
}

func (a *app) imageSave() *cobra.Command {
	var output, kind string
	c := &cobra.Command{
		Use: "save IMAGE...", Short: "Write images to a file or folder", Args: args(1, -1, "images"),
		Long: `Write images with the very blobs that came in: as an OCI layout in a folder (oci),
as a tar of one (oci-archive), or as docker load of old reads it (docker-archive).`,
	}
	c.Flags().StringVarP(&output, "output", "o", "", "file or folder to write")
	c.Flags().StringVar(&kind, "to", images.FromLayoutArchive, "oci, oci-archive or docker-archive")
	c.ValidArgsFunction = a.completed(imageNames)
	c.RunE = func(c *cobra.Command, given []string) error {
		if output == "" {
			return usage("say where to with --output")
		}
		return a.withImages(c.Context(), func(_ driver, s *images.Store) error {
			switch kind {
			case images.FromLayout:
				return s.SaveDir(c.Context(), output, given...)
			case images.FromLayoutArchive, images.FromDockerArchive:
				return durable.WriteFile(output, 0o600, func(f *os.File) error { return s.SaveArchive(c.Context(), f, kind, given...) })
			}
			return usage("--to %q; oci, oci-archive and docker-archive are possible", kind)
		})
	}
	return c
}

var imageRows = listing[images.Record]{
	header: []string{"IMAGE", "ID", "PLATFORM", "LAYERS", "CREATED", "IMPORTED"},
	row: func(r images.Record) []string {
		return []string{images.ShortName(r.Name), short(r.ID().String()), r.Platform, strconv.Itoa(len(r.Layers)), ago(r.Created), ago(r.Imported)}
	},
	name: func(r images.Record) string { return images.ShortName(r.Name) },
}

func (a *app) imageList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List images", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withImages(c.Context(), func(_ driver, s *images.Store) error {
				all, err := s.Images()
				if err != nil {
					return err
				}
				return show(a, imageRows, all)
			})
		},
	}
}

var historyRows = listing[images.Step]{
	header: []string{"LAYER", "CREATED", "CREATED BY", "SIZE"},
	row: func(s images.Step) []string {
		id, size := "-", "0B"
		if s.Layer != nil {
			id, size = short(s.Layer.ChainID.String()), bytesize.Format(s.Size)
		}
		return []string{id, ago(s.Created), oneLine(s.CreatedBy, 60), size}
	},
	name: func(s images.Step) string {
		if s.Layer == nil {
			return "-"
		}
		return s.Layer.ChainID.String()
	},
}

func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func (a *app) imageHistory() *cobra.Command {
	c := &cobra.Command{
		Use: "history IMAGE", Short: "Show how an image was built", Args: args(1, 1, "one image"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.withImages(c.Context(), func(_ driver, s *images.Store) error {
				steps, err := s.History(c.Context(), given[0])
				if err != nil {
					return err
				}
				return show(a, historyRows, steps)
			})
		},
	}
	c.ValidArgsFunction = a.completed(imageNames)
	return c
}

var usageRows = listing[images.Size]{
	header: []string{"IMAGE", "UNIQUE", "SHARED", "BLOBS"},
	row: func(s images.Size) []string {
		return []string{images.ShortName(s.Image.Name), bytesize.Format(s.Unique), bytesize.Format(s.Shared), bytesize.Format(uint64(s.Blobs))}
	},
	name: func(s images.Size) string { return images.ShortName(s.Image.Name) },
}

func (a *app) imageUsage() *cobra.Command {
	return &cobra.Command{
		Use: "du", Short: "Show what images cost, in blocks of the pool", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withImages(c.Context(), func(_ driver, s *images.Store) error {
				sizes, total, err := s.DiskUsage(c.Context())
				if err != nil {
					return err
				}
				if err := show(a, usageRows, sizes); err != nil {
					return err
				}
				if a.format == "table" && !a.quiet {
					fmt.Fprintf(a.stdout, "\nall layers together: %s\n", bytesize.Format(total))
				}
				return nil
			})
		},
	}
}

func (a *app) imageTree() *cobra.Command {
	return &cobra.Command{
		Use: "tree", Short: "Show how images share layers", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withImages(c.Context(), func(_ driver, s *images.Store) error {
				roots, err := s.Tree(c.Context())
				if err != nil {
					return err
				}
				if a.format == "json" {
					return printJSON(a.stdout, roots)
				}
				stored := 0
				for _, n := range roots {
					stored += a.printNode(n, "", "")
				}
				fmt.Fprintf(a.stdout, "%d layers stored\n", stored)
				return nil
			})
		},
	}
}

// printNode draws one layer and those above it, and counts them.
func (a *app) printNode(n *images.Node, first, rest string) int {
	who := make([]string, 0, len(n.Images)+len(n.Containers))
	for _, name := range n.Images {
		who = append(who, images.ShortName(name))
	}
	for _, key := range n.Containers {
		who = append(who, strings.TrimPrefix(key, containerPrefix))
	}
	line := fmt.Sprintf("%s%s %s", first, short(n.ChainID.String()), bytesize.Format(n.Added))
	if by := oneLine(n.CreatedBy, 48); by != "" {
		line += "  " + by
	}
	if len(who) > 0 {
		line += "  [" + strings.Join(who, ", ") + "]"
	}
	fmt.Fprintln(a.stdout, line)
	count := 1
	for i, child := range n.Children {
		if i == len(n.Children)-1 {
			count += a.printNode(child, rest+"└─ ", rest+"   ")
		} else {
			count += a.printNode(child, rest+"├─ ", rest+"│  ")
		}
	}
	return count
}

func (a *app) imageRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "rm IMAGE...", Short: "Remove images", Args: args(1, -1, "images"),
		RunE: func(c *cobra.Command, given []string) error {
			return a.changingImages(c.Context(), func(d driver, s *images.Store) error {
				for _, ref := range given {
					r, err := s.Remove(c.Context(), ref, images.RemoveOptions{Users: containersOf(d)})
					if err != nil {
						return err
					}
					if !a.quiet {
						fmt.Fprintf(a.stdout, "%s: %d layers and %d blobs removed\n", ref, len(r.Layers), len(r.Blobs))
					}
				}
				return drain(c.Context(), d)
			})
		},
	}
	c.ValidArgsFunction = a.completed(imageNames)
	return c
}

func imageNames(_ driver, s *images.Store) (names []string) {
	all, err := s.Images()
	if err != nil {
		return nil // completion shows nothing then
	}
	for _, r := range all {
		names = append(names, images.ShortName(r.Name))
	}
	return names
}
