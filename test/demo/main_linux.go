package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/veneerdm/veneer/internal/bytesize"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{ctx: ctx, began: time.Now()}
	flag.StringVar(&d.veneer, "veneer", "bin/veneer", "the program to show")
	flag.StringVar(&d.layout, "images", ".cache/images/demo.oci", "OCI layout with the images nginx:demo and python:demo")
	flag.StringVar(&d.image, "image", "", "another image to show: a layout, an archive or a reference")
	flag.StringVar(&d.backing, "backing", "loop", "what the pool stands on: loop or lvm")
	flag.Parse()
	if err := d.run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is one showing.
type demo struct {
	ctx                            context.Context
	began                          time.Time
	veneer, layout, image, backing string
	dir, root                      string
}

func (d *demo) run() (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the demonstration makes block devices and needs root: run \"make demo\", which brings a kernel of its own")
	}
	for _, path := range []*string{&d.veneer, &d.layout} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	scratch := os.Getenv("VENEER_SCRATCH")
	if d.dir, err = os.MkdirTemp(scratch, "veneer-demo-"); err != nil {
		return err
	}
	d.root = filepath.Join(d.dir, "store")
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	steps := []func() error{d.makePool, d.importImages, d.showImages}
	if d.image == "" {
		steps = append(steps, d.writeLargeFile, d.showIsolation, d.commitAndClone, d.removeAll, d.killImport)
	} else {
		steps = append(steps, d.useImage, d.removeAll)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if err := d.destroyPool(); err != nil {
		return err
	}
	fmt.Printf("\nDone in %s. Nothing is left: no device, no loop device, no mount, no file.\n", time.Since(d.began).Round(time.Second))
	return nil
}

func title(format string, args ...any) {
	fmt.Printf("\n\033[1m%s\033[0m\n", fmt.Sprintf(format, args...))
}

func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

func (d *demo) makePool() error {
	title("1. A thin pool on %s", map[string]string{"loop": "two sparse files", "lvm": "two logical volumes"}[d.backing])
	flags := []string{"pool", "create", "--name", "veneer-demo", "--size", "3G"}
	switch d.backing {
	case "loop":
	case "lvm":
		if err := d.makeVolumeGroup(); err != nil {
			return err
		}
		flags = append(flags, "--backing", "lvm", "--volume-group", volumeGroup)
	default:
		return fmt.Errorf("backing %q; loop and lvm can be shown", d.backing)
	}
	return d.show(flags...)
}

func (d *demo) importImages() error {
	if d.image != "" {
		title("2. Import %s: every layer becomes a block snapshot of the one below", d.image)
		return d.show("image", "import", d.image, "--name", "demo")
	}
	title("2. Two images on one Debian base: every layer becomes a block snapshot of the one below")
	for _, name := range []string{"nginx", "python"} {
		if err := d.show("image", "import", "oci:"+d.layout+":"+name+":demo", "--name", name); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) showImages() error {
	title("3. What is stored: layers that images share are stored once")
	for _, c := range [][]string{{"image", "tree"}, {"image", "du"}, {"image", "history", d.firstImage()}} {
		if err := d.show(c...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) firstImage() string {
	if d.image != "" {
		return "demo"
	}
	return "nginx"
}

func (d *demo) useImage() error {
	title("4. A container of it")
	for _, c := range [][]string{
		{"container", "create", "demo", "--name", "one"}, {"container", "clone", "one", "two"},
		{"container", "ls", "--size"}, {"container", "diff", "one"},
	} {
		if err := d.show(c...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) commitAndClone() error {
	title("6. Commit a container as an image, and clone a container that is in use")
	if err := d.show("container", "diff", "one"); err != nil {
		return err
	}
	if err := d.show("container", "commit", "one", "edited:1"); err != nil {
		return err
	}
	mnt, unmount, err := d.mount("two")
	if err != nil {
		return err
	}
	defer unmount()
	if err := os.WriteFile(filepath.Join(mnt, "srv", "note"), []byte("written before the clone\n"), 0o644); err != nil {
		return err
	}
	if err := d.show("container", "clone", "two", "three"); err != nil {
		return err
	}
	return d.show("container", "exec", "three", "cat", "/srv/note")
}

func (d *demo) removeAll() error {
	title("7. Remove everything: the space comes back, down to the file below the pool")
	before, err := d.pool()
	if err != nil {
		return err
	}
	stored := d.stored()
	containers, err := d.lines("container", "ls", "-q")
	if err != nil {
		return err
	}
	images, err := d.lines("image", "ls", "-q")
	if err != nil {
		return err
	}
	if err := d.show(append([]string{"container", "rm"}, containers...)...); err != nil {
		return err
	}
	if err := d.show(append([]string{"image", "rm"}, images...)...); err != nil {
		return err
	}
	after, err := d.pool()
	if err != nil {
		return err
	}
	say("pool: %s used before, %s now", bytesize.Format(before.DataUsed), bytesize.Format(after.DataUsed))
	if d.backing == "loop" {
		say("its data file on the host's filesystem: %s before, %s now", bytesize.Format(stored), bytesize.Format(d.stored()))
	}
	return nil
}

func (d *demo) killImport() error {
	title("8. kill -9 in the middle of an import, then carry on")
	if err := d.killDuring("applying", "image", "import", "oci:"+d.layout+":nginx:demo", "--name", "nginx"); err != nil {
		return err
	}
	for _, c := range [][]string{
		{"image", "ls"}, {"doctor"}, {"image", "import", "oci:" + d.layout + ":nginx:demo", "--name", "nginx"},
		{"image", "tree"}, {"pool", "check"}, {"doctor"},
	} {
		if err := d.show(c...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) destroyPool() error {
	title("9. Destroy the pool")
	return d.show("pool", "destroy", "veneer-demo", "--yes")
}

// cleanUp takes away what a showing that failed left, and the scratch folder.
func (d *demo) cleanUp() error {
	var errs []error
	if _, err := os.Stat(filepath.Join(d.root, "catalog.db")); err == nil {
		d.unmountAll()
		if out, err := d.command("pool", "destroy", "veneer-demo", "--yes").CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("destroy the demonstration's pool: %w: %s", err, strings.TrimSpace(string(out))))
		}
	}
	if d.backing == "lvm" {
		errs = append(errs, d.removeVolumeGroup())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}
