package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// The variants of overlayfs: mount options that change what is copied. The plain one
// switches off what kernels may be built to switch on, as Docker does.
const (
	Plain       = ""
	Metacopy    = "metacopy" // a change of metadata copies no data
	RedirectDir = "redirect" // a lower directory can be renamed
	Volatile    = "volatile" // nothing is ever synced: a crash loses the container
	plainFlags  = "index=off,metacopy=off,redirect_dir=off"
	maxLowers   = 500 // fs/overlayfs/super.c: OVL_MAX_STACK
)

var variants = map[string]struct{ options, text string }{
	Plain:       {plainFlags, "kernel overlayfs; a first write copies the whole file up"},
	Metacopy:    {"index=off,metacopy=on,redirect_dir=on", "overlayfs that copies only metadata up when only metadata changes"},
	RedirectDir: {"index=off,metacopy=off,redirect_dir=on", "overlayfs that can rename directories of lower layers"},
	Volatile:    {plainFlags + ",volatile", "overlayfs that never syncs: fast, and a crash loses the container"},
}

// Overlay is the kernel's overlayfs on ext4, as containerd's and Docker's default
// drivers use it.
type Overlay struct{ Variant string }

// About describes the backend.
func (o Overlay) About() bench.About {
	name := "overlay"
	if o.Variant != Plain {
		name += "-" + o.Variant
	}
	v := variants[o.Variant]
	return bench.About{Name: name, Text: v.text, Kind: bench.KindFile, Filesystem: "ext4", Options: v.options}
}

// Ready looks for overlayfs and mkfs.ext4.
func (o Overlay) Ready() error {
	if missing := filesystem.MissingTools("ext4"); len(missing) > 0 {
		return fmt.Errorf("%w: install %s", bench.ErrNotReady, strings.Join(missing, " and "))
	}
	if !known("overlay") {
		return lacks("overlay")
	}
	return nil
}

// Open formats the disk.
func (o Overlay) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	b, err := newBase(ctx, d, dir, "ext4")
	if err != nil {
		return nil, err
	}
	return newLayered(b, dir, func(merged, options string) error {
		options += "," + variants[o.Variant].options
		if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
			return fmt.Errorf("mount an overlay of %d layers: %w", 1+strings.Count(options, ":"), err)
		}
		return nil
	})
}

// layered is a store of folders, joined by an overlay when they are used.
type layered struct {
	*base
	dir   string
	lower *os.File // the folder of all layers: its short name keeps mount options short
	join  func(merged, options string) error

	mu     sync.Mutex
	layers map[string]chain
	of     map[string]chain // of each container
	last   int
	merged map[string]string
}

// chain is numbers of layers, top first.
type chain []int

func newLayered(b *base, dir string, join func(merged, options string) error) (bench.Store, error) {
	s := &layered{base: b, dir: dir, join: join, layers: map[string]chain{"": nil}, of: map[string]chain{}, merged: map[string]string{}}
	path, err := b.sub("l")
	if err == nil {
		s.lower, err = os.Open(path)
	}
	return s, err
}

func (s *layered) Commit(_ context.Context, layer, parent string, fill func(dir string) error) (err error) {
	s.mu.Lock()
	s.last++
	n, below := s.last, s.layers[parent]
	s.mu.Unlock()
	own, err := s.sub("l", strconv.Itoa(n))
	if err != nil {
		return err
	}
	if len(below) == 0 {
		err = fill(own)
	} else {
		err = s.fillAbove(own, below, fill)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(own))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layers[layer] = append(chain{n}, below...)
	return nil
}

func (s *layered) fillAbove(own string, below chain, fill func(dir string) error) error {
	work, err := s.sub("w")
	if err != nil {
		return err
	}
	merged := filepath.Join(s.dir, "making")
	if err := os.MkdirAll(merged, 0o700); err != nil {
		return err
	}
	if err := s.join(merged, s.options(below, own, work)); err != nil {
		return err
	}
	err = fill(merged)
	return errors.Join(err, syncFS(merged), filesystem.Unmount(merged), os.Remove(merged), os.RemoveAll(work))
}

func (s *layered) options(lower chain, upper, work string) string {
	names := make([]string, len(lower))
	for i, n := range lower {
		names[i] = fmt.Sprintf("/proc/%d/fd/%d/%d", os.Getpid(), s.lower.Fd(), n)
	}
	return fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(names, ":"), upper, work)
}

func (s *layered) Drop(_ context.Context, layer string) error {
	s.mu.Lock()
	c := s.layers[layer]
	delete(s.layers, layer)
	s.mu.Unlock()
	return os.RemoveAll(filepath.Join(s.base.dir, "l", strconv.Itoa(c[0])))
}

func (s *layered) Create(_ context.Context, container, layer string) error {
	s.mu.Lock()
	c, ok := s.layers[layer]
	s.of[container] = c
	s.mu.Unlock()
	if !ok || len(c) > maxLowers {
		return fmt.Errorf("an overlay of %d layers, of which the kernel takes 1 to %d", len(c), maxLowers)
	}
	_, upperErr := s.sub("c", container, "u")
	_, workErr := s.sub("c", container, "w")
	return errors.Join(upperErr, workErr)
}

func (s *layered) Mount(_ context.Context, container string) (string, error) {
	merged, own := filepath.Join(s.dir, container), filepath.Join(s.base.dir, "c", container)
	if err := os.MkdirAll(merged, 0o700); err != nil {
		return "", err
	}
	s.mu.Lock()
	below := s.of[container]
	s.mu.Unlock()
	// A volatile overlay that was not unmounted by a shutdown forbids another mount.
	_ = os.RemoveAll(filepath.Join(own, "w", "work", "incompat"))
	if err := s.join(merged, s.options(below, filepath.Join(own, "u"), filepath.Join(own, "w"))); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.merged[container] = merged
	return merged, nil
}

func (s *layered) Unmount(_ context.Context, container string) error {
	s.mu.Lock()
	merged := s.merged[container]
	s.mu.Unlock()
	if err := filesystem.Unmount(merged); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.merged, container)
	s.mu.Unlock()
	return os.Remove(merged)
}

func (s *layered) Remove(_ context.Context, container string) error {
	s.mu.Lock()
	delete(s.of, container)
	s.mu.Unlock()
	return os.RemoveAll(filepath.Join(s.base.dir, "c", container))
}

func (s *layered) Close(context.Context) error {
	if s.lower != nil {
		s.lower.Close()
		s.lower = nil
	}
	var inside []string
	for _, dir := range s.merged {
		inside = append(inside, dir)
	}
	return s.close(append(inside, filepath.Join(s.dir, "making"))...)
}
