package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// recipeVersion changes when the images would.
const recipeVersion = 1

// A recipe is what the images are made by. A layout made by another is remade.
type recipe struct {
	Version   int
	DataBytes int64
}

// A branch is an image's own layer on top of the shared ones.
type branch struct {
	name     string
	packages []string
	finish   func(root string, r recipe) error // after the packages
	config   imageConfig
}

var branches = []branch{
	{
		name: "nginx", packages: []string{"nginx"}, finish: finishNginx,
		config: imageConfig{cmd: []string{"nginx", "-g", "daemon off;"}, port: "80/tcp"},
	},
	{
		name: "python", packages: []string{"python3"}, finish: func(string, recipe) error { return nil },
		config: imageConfig{cmd: []string{"python3"}},
	},
}

// makingPrefix begins the names of folders in which images are being made.
const makingPrefix = "making-"

// makeLayout makes the layout under a temporary name and moves it into place.
func makeLayout(ctx context.Context, out string, r recipe) (err error) {
	work, err := os.MkdirTemp(filepath.Dir(out), makingPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "image: %5.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}

	say("Debian bookworm, minimal, from the distribution's packages")
	root := filepath.Join(work, "root")
	if err := bootstrap(ctx, root); err != nil {
		return err
	}
	epoch, err := releaseTime(root)
	if err != nil {
		return err
	}
	base, err := writeLayer(filepath.Join(work, "base"), root, tree{}, epoch)
	if err != nil {
		return err
	}
	say("%v of base; now certificates", base)
	certificates, err := grow(ctx, filepath.Join(work, "certificates"), root, epoch, func() error {
		return install(ctx, root, "ca-certificates")
	})
	if err != nil {
		return err
	}
	say("%v of certificates; now nginx and python", certificates)

	images := make([]image, len(branches))
	group, ctx := errgroup.WithContext(ctx)
	for i, b := range branches {
		group.Go(func() error {
			own := filepath.Join(work, "root-"+b.name)
			if err := copyTree(ctx, root, own); err != nil {
				return err
			}
			layer, err := grow(ctx, filepath.Join(work, b.name), own, epoch, func() error {
				if err := install(ctx, own, b.packages...); err != nil {
					return err
				}
				return b.finish(own, r)
			})
			if err != nil {
				return fmt.Errorf("image %s: %w", b.name, err)
			}
			say("%v of %s", layer, b.name)
			images[i] = image{name: b.name + ":demo", config: b.config, created: epoch, layers: []storedLayer{base, certificates, layer}}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	layout := filepath.Join(work, "layout")
	if err := writeLayout(layout, images, r); err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.Rename(layout, out); err != nil {
		return err
	}
	say("two images in %s", out)
	return nil
}

// grow writes the layer of what change does to the tree at root.
func grow(ctx context.Context, path, root string, epoch time.Time, change func() error) (storedLayer, error) {
	before, err := readTree(root)
	if err != nil {
		return storedLayer{}, err
	}
	if err := change(); err != nil {
		return storedLayer{}, err
	}
	if err := ctx.Err(); err != nil {
		return storedLayer{}, err
	}
	return writeLayer(path, root, before, epoch)
}
