package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/veneerdm/veneer/internal/command"
)

// host is a machine with both daemons on it: containerd with three snapshotters,
// and Veneer that serves one of them.
type host struct {
	b          *bench
	dir, state string
	thin       *thinPool
	created    bool // Veneer's pool
	daemons    []*exec.Cmd
	log        *os.File // what the daemons and the shims say
}

func (b *bench) newHost(ctx context.Context) (h *host, err error) {
	h = &host{b: b, dir: filepath.Join(b.dir, "host")}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	// A socket's path has to be short.
	if h.state, err = os.MkdirTemp("/run", "veneer-bench-"); err != nil {
		return h, err
	}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		return h, err
	}
	if h.log, err = os.Create(filepath.Join(h.dir, "log")); err != nil {
		return h, err
	}
	if h.thin, err = b.newThinPool(ctx, "bench-containerd"); err != nil {
		return h, err
	}
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = %q
[plugins."io.containerd.snapshotter.v1.devmapper"]
  root_path = %q
  pool_name = %q
  base_image_size = "10GB"
[proxy_plugins.veneer]
  type = "snapshot"
  address = %q
`, filepath.Join(h.dir, "containerd"), filepath.Join(h.state, "state"), h.address(), filepath.Join(h.dir, "devmapper"), h.thin.name, h.socket())
	if err := os.WriteFile(h.config(), []byte(config), 0o600); err != nil {
		return h, err
	}
	_, err = h.run(ctx, "pool", "create", "--name", "bench-served", "--size", fmt.Sprint(poolSize),
		"--metadata-size", fmt.Sprint(metadataSize), "--base-size", fmt.Sprint(baseSize))
	h.created = err == nil
	return h, err
}

func (h *host) address() string { return filepath.Join(h.state, "containerd.sock") }
func (h *host) socket() string  { return filepath.Join(h.state, "veneer", "veneer.sock") }
func (h *host) config() string  { return filepath.Join(h.state, "config.toml") }

// close stops what runs and takes both pools away.
func (h *host) close() error {
	errs := []error{h.stop()}
	if h.log != nil {
		errs = append(errs, h.log.Close())
	}
	if h.created {
		_, err := h.run(context.Background(), "pool", "destroy", "bench-served", "--yes")
		errs = append(errs, err)
	}
	if h.thin != nil {
		errs = append(errs, h.thin.destroy())
	}
	return errors.Join(append(errs, os.RemoveAll(h.dir), os.RemoveAll(h.state))...)
}

// run runs a command of veneer's.
func (h *host) run(ctx context.Context, args ...string) (string, error) {
	return command.Run(ctx, h.b.veneer, append([]string{
		"--root", filepath.Join(h.dir, "store"), "--address", h.socket(), "--progress", "none",
	}, args...)...)
}

// ctr runs a command of containerd's client.
func (h *host) ctr(ctx context.Context, args ...string) (string, error) {
	return command.Run(ctx, "ctr", append([]string{"--address", h.address()}, args...)...)
}

// start starts both daemons and waits until they answer.
func (h *host) start(ctx context.Context) error {
	for _, d := range []struct {
		cmd    *exec.Cmd
		socket string
	}{
		{exec.Command(h.b.veneer, "--root", filepath.Join(h.dir, "store"), "--address", h.socket(), "serve"), h.socket()},
		{exec.Command("containerd", "-c", h.config(), "-l", "error"), h.address()},
	} {
		d.cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
		d.cmd.Stdout, d.cmd.Stderr = h.log, h.log
		if err := d.cmd.Start(); err != nil {
			return fmt.Errorf("%w (containerd is installed by make setup)", err)
		}
		h.daemons = append(h.daemons, d.cmd)
		if err := await(ctx, d.socket); err != nil {
			return err
		}
	}
	return nil
}

// stop ends both daemons, the last one first.
func (h *host) stop() error {
	var errs []error
	for _, cmd := range slices.Backward(h.daemons) {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			errs = append(errs, err)
		}
		impatience := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", cmd.Path, err))
		}
		impatience.Stop()
	}
	h.daemons = nil
	return errors.Join(errs...)
}

// await waits until a socket is answered, for half a minute.
func await(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("nobody answers: %w", err)
		}
	}
}
