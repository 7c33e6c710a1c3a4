package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/loopback"
)

// thinPool is a pool made as containerd's documentation of devmapper says.
type thinPool struct {
	name  string
	dir   string
	loops []loopback.Device
}

func (b *bench) newThinPool(ctx context.Context, name string) (p *thinPool, err error) {
	p = &thinPool{name: name, dir: filepath.Join(b.dir, name)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.destroy())
		}
	}()
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return p, err
	}
	for _, file := range []struct {
		name string
		size int64
	}{{"metadata", metadataSize}, {"data", poolSize}} {
		path := filepath.Join(p.dir, file.name)
		if err := loopback.CreateImage(path, file.size); err != nil {
			return p, err
		}
		dev, err := loopback.Attach(ctx, path, loopback.Options{DirectIO: true})
		if err != nil {
			return p, err
		}
		p.loops = append(p.loops, dev)
	}
	table := fmt.Sprintf("0 %d thin-pool %s %s 128 32768 1 skip_block_zeroing", poolSize/512, p.loops[0].Path, p.loops[1].Path)
	_, err = dmsetup("create", name, "--table", table)
	return p, err
}

// destroy takes the pool away with all devices on it. It is done whatever happened
// before.
func (p *thinPool) destroy() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, err := dmsetup("ls")
	errs := []error{err}
	remove := []string{"remove", "--retry"}
	for line := range strings.Lines(list) {
		// The pool itself goes last.
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], p.name+"-snap-") {
			remove = append(remove, fields[0])
		}
	}
	if len(remove) > 2 {
		_, err := dmsetup(remove...)
		errs = append(errs, err)
	}
	if len(p.loops) == 2 {
		_, err := dmsetup("remove", "--retry", p.name)
		errs = append(errs, err)
	}
	for _, dev := range p.loops {
		errs = append(errs, dev.Detach(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// dmsetup is not ended with a context: it also takes away what a run has made.
func dmsetup(args ...string) (string, error) {
	return command.Run(context.Background(), "dmsetup", args...)
}
