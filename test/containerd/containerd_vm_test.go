package containerd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	nginx  = "docker.io/library/nginx:latest"
	python = "docker.io/library/python:latest"
)

// archives brings the demonstration's images into a form that every containerd
// reads, through the store, and leaves the store as it was.
func (h *host) archives(names ...string) {
	h.t.Helper()
	layout, err := filepath.Abs("../../.cache/images/demo.oci")
	require.NoError(h.t, err)
	for _, name := range names {
		h.run("image", "import", "oci:"+layout+":"+name+":demo", "--name", name)
		h.run("image", "save", name, "--to", "docker-archive", "--output", h.archive(name))
	}
	h.run(append([]string{"image", "rm"}, names...)...)
}

func (h *host) archive(name string) string { return filepath.Join(h.dir, name+".tar") }

func (h *host) page(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:80/", nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("status %s", res.Status))
	}
	return string(body), err
}

// The whole life of containers on a stock host. The steps build on each other.
func TestStockContainerdRunsOnVeneer(t *testing.T) {
	h := newHost(t)
	h.archives("nginx", "python")

	h.startContainerd() // before the daemon: the connection is made when it is needed
	h.startDaemon()
	h.ctr("images", "import", "--snapshotter", "veneer", h.archive("nginx"))
	h.ctr("images", "import", "--snapshotter", "veneer", h.archive("python"))
	assert.Len(t, strings.Split(strings.TrimSpace(h.ctr("snapshots", "ls")), "\n"), 1+4, "the images share two of six layers")

	assert.Equal(t, "42\n", h.ctr("run", "--rm", python, "calc", "python3", "-c", "print(6*7)"))

	// The machine has no IPv6; taking it out of the configuration writes to the disk.
	h.ctr("run", "--detach", "--net-host", nginx, "web", "sh", "-c",
		`sed -i '/\[::\]/d' /etc/nginx/sites-enabled/default && echo served by veneer >/var/www/html/index.html && exec nginx -g 'daemon off;'`)
	h.await("nginx", func(ctx context.Context) error {
		body, err := h.page(ctx)
		if err == nil && !strings.Contains(body, "served by veneer") {
			err = fmt.Errorf("the page says %q", body)
		}
		return err
	})

	// The daemon dies, and the container does not notice.
	h.stop(&h.daemon, syscall.SIGKILL)
	h.ctr("task", "exec", "--exec-id", "w1", "web", "sh", "-c", "echo without a daemon >/var/www/html/index.html && sync")
	body, err := h.page(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "without a daemon\n", body)
	h.startDaemon()
	h.ctr("task", "exec", "--exec-id", "w2", "web", "sh", "-c", "echo again >>/var/www/html/index.html")
	body, err = h.page(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "without a daemon\nagain\n", body)

	// containerd restarts under it.
	h.stop(&h.containerd, syscall.SIGTERM)
	h.startContainerd()
	assert.Contains(t, h.ctr("task", "ls"), "RUNNING")
	usage := h.ctr("snapshots", "usage", "web")
	assert.Contains(t, usage, "iB", usage)
	assert.Contains(t, h.ctr("snapshots", "tree"), "web")

	h.ctr("task", "kill", "--signal", "SIGKILL", "web")
	h.await("the task's end", func(context.Context) error {
		if out := h.ctr("task", "ls"); strings.Contains(out, "RUNNING") {
			return errors.New(out)
		}
		return nil
	})
	h.ctr("task", "rm", "web")
	// Not before: containerd mounts read-only what it compares, and the kernel mounts
	// no device both ways.
	assert.NotEmpty(t, h.ctr("snapshots", "diff", "web"), "what the container changed, as a layer")
	h.ctr("snapshots", "commit", "kept", "web")
	assert.Contains(t, h.ctr("snapshots", "info", "kept"), "Committed")
	h.ctr("container", "rm", "web")
	h.ctr("snapshots", "rm", "kept")

	// Garbage collection leaves nothing.
	h.ctr("images", "rm", "--sync", nginx, python)
	h.noSnapshots()
	assert.Contains(t, h.run("doctor"), "all is well")
}

// noSnapshots waits until containerd's garbage collection has left nothing.
func (h *host) noSnapshots() {
	h.t.Helper()
	h.await("garbage collection", func(context.Context) error {
		if out := strings.TrimSpace(h.ctr("snapshots", "ls")); strings.Count(out, "\n") > 0 {
			return errors.New(out)
		}
		return nil
	})
}
