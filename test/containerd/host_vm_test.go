package containerd_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/test/waittest"
)

const (
	socket = "/run/veneer/veneer.sock"
	state  = "/run/veneer-test-containerd"
)

// host is a machine with the daemon and containerd on it.
type host struct {
	t                  *testing.T
	dir, veneer        string
	programs           string // folder of containerd's programs, "" for the distribution's
	daemon, containerd *exec.Cmd
}

// newHost has the distribution's containerd, configured with the sample as it is.
func newHost(t *testing.T) *host {
	h := emptyHost(t)
	text, err := os.ReadFile(sample(t, "containerd-1.toml"))
	require.NoError(t, err)
	h.configure(`disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
` + string(text))
	return h
}

// newHost2 has containerd 2, configured with the sample as it is.
func newHost2(t *testing.T) *host {
	h := emptyHost(t)
	h.configure2(`disabled_plugins = ["io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri",
  "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.snapshotter.v1.devmapper"]
`, sample(t, "containerd-2.toml"))
	return h
}

// configure2 configures containerd 2 with settings and with files that it imports.
func (h *host) configure2(settings string, imports ...string) {
	h.t.Helper()
	var err error
	h.programs, err = filepath.Abs("../../bin/containerd")
	require.NoError(h.t, err)
	h.configure(fmt.Sprintf("version = 3\nimports = [\"%s\"]\n%s", strings.Join(imports, `", "`), settings))
}

// sample is the path of a sample configuration, from containerd's folder of them.
func sample(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../packaging/containerd", name))
	require.NoError(t, err)
	return path
}

func emptyHost(t *testing.T) *host {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
	dir, err := os.MkdirTemp(os.Getenv("VENEER_SCRATCH"), "containerd-") //nolint:usetesting // its name is the pool's
	require.NoError(t, err)
	veneer, err := filepath.Abs("../../bin/veneer")
	require.NoError(t, err)
	h := &host{t: t, dir: dir, veneer: veneer}
	require.NoError(t, os.MkdirAll(state, 0o700))
	h.run("pool", "create", "--size", "6G", "--name", filepath.Base(dir))
	t.Cleanup(h.close)
	return h
}

// configure writes containerd's configuration: settings, and where its things are.
func (h *host) configure(settings string) {
	h.t.Helper()
	config := fmt.Sprintf("root = %q\nstate = %q\n%s[grpc]\n  address = %q\n[timeouts]\n",
		filepath.Join(h.dir, "containerd"), filepath.Join(state, "state"), settings, h.address())
	// containerd gives its shims a few seconds, which a slow machine needs more of.
	for _, of := range []string{"shim.load", "shim.cleanup", "shim.shutdown", "task.state", "metrics.shimstats", "cri.defercleanup"} {
		config += fmt.Sprintf("  \"io.containerd.timeout.%s\" = %q\n", of, waittest.Hang)
	}
	require.NoError(h.t, os.WriteFile(filepath.Join(state, "config.toml"), []byte(config), 0o600))
}

func (h *host) address() string { return filepath.Join(state, "containerd.sock") }

// close stops both sides and takes the pool away: what is mounted or open then, a
// snapshot that was forgotten, makes it fail.
func (h *host) close() {
	h.stop(&h.containerd, syscall.SIGTERM)
	h.stop(&h.daemon, syscall.SIGTERM)
	if h.t.Failed() {
		// Whatever still runs keeps its root mounted.
		_ = unix.Unmount(filepath.Join(state, "state/io.containerd.runtime.v2.task/default/web/rootfs"), unix.MNT_DETACH)
	}
	h.run("pool", "destroy", filepath.Base(h.dir), "--yes")
	assert.NoError(h.t, os.RemoveAll(h.dir))
	assert.NoError(h.t, os.RemoveAll(state))
}

func (h *host) command(name string, args ...string) *exec.Cmd {
	if own := filepath.Join(h.programs, name); h.programs != "" && !filepath.IsAbs(name) {
		if _, err := os.Stat(own); err == nil {
			name = own
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+h.path(),
		"CONTAINERD_ADDRESS="+h.address(), "CONTAINERD_SNAPSHOTTER=veneer")
	return cmd
}

// path is where programs are looked for, by containerd for its shim too.
func (h *host) path() string {
	folders := []string{os.Getenv("PATH"), "/usr/sbin", "/sbin"}
	if h.programs != "" {
		folders = append([]string{h.programs}, folders...)
	}
	return strings.Join(folders, ":")
}

// run runs a command of veneer's.
func (h *host) run(args ...string) string {
	h.t.Helper()
	return h.output(h.command(h.veneer, append([]string{"--root", filepath.Join(h.dir, "store"), "--progress", "none"}, args...)...))
}

// ctr runs a command of containerd's client. Its log, and the shims', is left out.
func (h *host) ctr(args ...string) string {
	h.t.Helper()
	return h.output(h.command("ctr", append([]string{"--connect-timeout", waittest.Hang.String()}, args...)...))
}

func (h *host) output(cmd *exec.Cmd) string {
	h.t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(h.t, err, "%v: %s", cmd.Args, stderr.String())
	return string(out)
}

func (h *host) startDaemon() {
	h.t.Helper()
	h.daemon = h.command(h.veneer, "--root", filepath.Join(h.dir, "store"), "serve")
	h.daemon.Stdout, h.daemon.Stderr = os.Stderr, os.Stderr
	require.NoError(h.t, h.daemon.Start())
	h.await("the daemon", func(ctx context.Context) error { return dial(ctx, socket) })
}

func (h *host) startContainerd() {
	h.t.Helper()
	h.containerd = h.command("containerd", "-c", filepath.Join(state, "config.toml"), "-l", "error")
	h.containerd.Stderr = os.Stderr
	require.NoError(h.t, h.containerd.Start(), "containerd is installed by make setup")
	h.await("containerd", func(ctx context.Context) error { return dial(ctx, h.address()) })
}

func dial(ctx context.Context, path string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return c.Close()
}

// await tries until it works.
func (h *host) await(what string, try func(context.Context) error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), waittest.Hang)
	defer cancel()
	waittest.Succeeds(h.t, what, func() error { return try(ctx) })
}

func (h *host) stop(p **exec.Cmd, s syscall.Signal) {
	h.t.Helper()
	if *p == nil {
		return
	}
	assert.NoError(h.t, (*p).Process.Signal(s))
	err := (*p).Wait()
	if s != syscall.SIGKILL {
		assert.NoError(h.t, err, "%s ended badly", (*p).Path)
	}
	*p = nil
}
