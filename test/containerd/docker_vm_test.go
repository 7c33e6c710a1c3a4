//go:build docker

package containerd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// dockerd is Docker Engine on a host's containerd, asked over its HTTP interface.
type dockerd struct {
	*host
	program *exec.Cmd
	client  http.Client
}

func (h *host) startDocker() *dockerd {
	h.t.Helper()
	program, err := filepath.Abs("../../bin/docker/dockerd")
	require.NoError(h.t, err)
	socket, config := filepath.Join(state, "docker.sock"), sample(h.t, "../docker/daemon.json")
	d := &dockerd{host: h}
	d.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	d.program = h.command(program, "--config-file", config, "--host", "unix://"+socket, "--containerd", h.address(),
		"--data-root", filepath.Join(h.dir, "docker"), "--exec-root", filepath.Join(state, "docker"), "--pidfile", filepath.Join(state, "docker.pid"),
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false", "--log-level=error")
	d.program.Stderr = os.Stderr
	require.NoError(h.t, d.program.Start())
	h.await("dockerd", func(ctx context.Context) error { return dial(ctx, socket) })
	h.t.Cleanup(func() {
		h.stop(&d.program, syscall.SIGTERM)
		// It leaves the namespace of the host's own network mounted.
		_ = unix.Unmount(filepath.Join(state, "docker/netns/default"), unix.MNT_DETACH)
	})
	return d
}

// ask sends body and gives the answer, decoded into out unless that is nil.
func (d *dockerd) ask(method, path string, body, out any) string {
	d.t.Helper()
	var send io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case io.Reader:
		send, kind = b, "application/x-tar"
	default:
		data, err := json.Marshal(b)
		require.NoError(d.t, err)
		send = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, "http://docker"+path, send)
	require.NoError(d.t, err)
	req.Header.Set("Content-Type", kind)
	res, err := d.client.Do(req)
	require.NoError(d.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(d.t, err)
	require.Less(d.t, res.StatusCode, 300, "%s %s: %s", method, path, answer)
	if out != nil {
		require.NoError(d.t, json.Unmarshal(answer, out), string(answer))
	}
	return string(answer)
}

// run runs a command in a new container of an image and gives the container's id.
func (d *dockerd) run(image string, command ...string) string {
	d.t.Helper()
	var made struct{ ID string }
	d.ask(http.MethodPost, "/containers/create", map[string]any{
		"Image": image, "Cmd": command, "Tty": true, "HostConfig": map[string]string{"NetworkMode": "host"},
	}, &made)
	d.ask(http.MethodPost, "/containers/"+made.ID+"/start", nil, nil)
	var ended struct{ StatusCode int }
	d.ask(http.MethodPost, "/containers/"+made.ID+"/wait", nil, &ended)
	assert.Zero(d.t, ended.StatusCode)
	return made.ID
}

func (d *dockerd) logs(id string) string {
	d.t.Helper()
	return strings.TrimSpace(d.ask(http.MethodGet, "/containers/"+id+"/logs?stdout=1", nil, nil))
}

func (d *dockerd) remove(what string) { d.ask(http.MethodDelete, what, nil, nil) }

// Docker with its containerd image store and Veneer as its storage driver: an archive
// is loaded, containers run, show what they changed, and become images.
func TestDockerRunsOnVeneer(t *testing.T) {
	h := newHost2(t)
	h.archives("python")
	h.startDaemon()
	h.startContainerd()
	d := h.startDocker()

	var info struct{ Driver string }
	d.ask(http.MethodGet, "/info", nil, &info)
	assert.Equal(t, "veneer", info.Driver)
	archive, err := os.Open(h.archive("python"))
	require.NoError(t, err)
	defer archive.Close()
	assert.Contains(t, d.ask(http.MethodPost, "/images/load", archive, nil), "python")

	calc := d.run("python:latest", "python3", "-c", "print(6*7)")
	assert.Equal(t, "42", d.logs(calc))
	d.remove("/containers/" + calc)

	first := d.run("python:latest", "sh", "-c", "echo kept > /kept")
	var changes []struct{ Path string }
	d.ask(http.MethodGet, "/containers/"+first+"/changes", nil, &changes)
	assert.Contains(t, fmt.Sprint(changes), "/kept")
	d.ask(http.MethodPost, "/commit?repo=two&tag=1&container="+first, nil, nil)
	second := d.run("two:1", "cat", "/kept")
	assert.Equal(t, "kept", d.logs(second))

	for _, what := range []string{"/containers/" + first, "/containers/" + second, "/images/two:1", "/images/python:latest"} {
		d.remove(what)
	}
	h.await("garbage collection", func(context.Context) error {
		if out := strings.TrimSpace(h.ctr("--namespace", "moby", "snapshots", "ls")); strings.Count(out, "\n") > 0 {
			return errors.New(out)
		}
		return nil
	})
}
