package service_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/service"
)

// A process that listens and does not come to accept is not taken for a dead one, whose
// socket is replaced.
func TestSocketOfABusyProcessIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busy.sock")
	address := &unix.SockaddrUnix{Name: path}
	socket := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, unix.Close(fd)) })
		return fd
	}
	listener := socket()
	require.NoError(t, unix.Bind(listener, address))
	require.NoError(t, unix.Listen(listener, 0))
	for unix.Connect(socket(), address) == nil {
		continue // until its queue is full
	}
	_, err := service.Listen(path)
	require.ErrorIs(t, err, class.Locked)
	assert.FileExists(t, path)
}
