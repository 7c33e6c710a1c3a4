package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/internal/bytesize"
)

func main() {
	out := flag.String("out", ".cache/images/demo.oci", "OCI layout to make")
	data := flag.String("data", "128M", "size of the large file in the nginx image")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *out, *data); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out, data string) error {
	size, err := bytesize.Parse(data)
	if err != nil {
		return fmt.Errorf("-data: %w", err)
	}
	out, err = filepath.Abs(out)
	if err != nil {
		return err
	}
	r := recipe{Version: recipeVersion, DataBytes: int64(size)}
	if complete(out, r) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	unlock, err := lock(out + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if complete(out, r) { // made by whoever held the lock
		return nil
	}
	if err := canMake(); err != nil {
		return err
	}
	// Whoever made these was killed: the lock is ours.
	abandoned, err := filepath.Glob(filepath.Join(filepath.Dir(out), makingPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range abandoned {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return makeLayout(ctx, out, r)
}

// canMake says in one sentence what keeps this machine from making the images.
func canMake() error {
	const instead = "or use another image: IMAGE= takes any OCI layout, archive or registry reference"
	if os.Getuid() != 0 {
		return errors.New("the default images are made from Debian's packages, which needs root: run this as root, " + instead)
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fmt.Errorf("the default images are made by mmdebstrap, which is not installed: run `make setup`, %s: %w", instead, err)
	}
	return nil
}

// lock makes one maker wait for another.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
