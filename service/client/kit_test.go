package client_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/service"
	"github.com/veneerdm/veneer/service/client"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
)

// newDriver makes a store on a machine in memory.
func newDriver(t *testing.T) *snapshots.Driver {
	t.Helper()
	m := snapstest.NewFake(t)
	config := m.Config()
	d, err := snapshots.CreatePool(t.Context(), config, m.Options())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// listen makes a socket. Its path has 107 bytes at most.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "v") //nolint:usetesting // a short path
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "s")
	l, err := service.Listen(socket)
	require.NoError(t, err)
	return l, socket
}

// serve answers with a driver until the test ends, or stop is called.
func serve(t *testing.T, d service.Driver) (socket string, stop func()) {
	t.Helper()
	l, socket := listen(t)
	server := service.NewServer(nil, nil)
	service.Register(server, service.Config{Driver: d, Version: "v-test"})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
	}
	t.Cleanup(stop)
	return socket, stop
}

func dial(t *testing.T, socket string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), socket, "v-test")
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil { // some tests have closed it
			require.ErrorContains(t, err, "closing")
		}
	})
	return c
}

func pair(t *testing.T) (*snapshots.Driver, *client.Client) {
	t.Helper()
	d := newDriver(t)
	socket, _ := serve(t, d)
	return d, dial(t, socket)
}

var errFlames = errors.New("in flames")
