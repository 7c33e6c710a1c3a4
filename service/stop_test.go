package service

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/service/client"
)

// endless is a driver that gives up only when it has to.
type endless struct {
	Driver
	begun chan struct{}
}

func (endless) Root() string { return "/store" }

func (e endless) Drain(ctx context.Context) error {
	close(e.begun)
	<-ctx.Done()
	return ctx.Err()
}

// A server that stops ends what it cannot wait for, says why, and waits for its end.
func TestStoppingEndsCalls(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	require.NoError(t, err)
	s := NewServer(nil, nil)
	e := endless{begun: make(chan struct{})}
	Register(s, Config{Driver: e, Version: "v-test"})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	c, err := client.Dial(t.Context(), socket, "v-test")
	require.NoError(t, err)
	answer := make(chan error, 1)
	go func() { answer <- c.Drain(t.Context()) }()
	<-e.begun
	stop()
	s.end() // what the server does finishFor later
	err = <-answer
	require.ErrorIs(t, err, class.Closed)
	assert.ErrorContains(t, err, "the daemon is stopping")
	require.NoError(t, <-ended)
	require.NoError(t, c.Close())
}

// Two calls of one name, names of nothing, and one that is too long: none is waited for
// in vain.
func TestNamesOfCalls(t *testing.T) {
	var c calls
	known, ended, err := c.await(t.Context(), "nobody")
	assert.False(t, known)
	require.NoError(t, ended)
	require.NoError(t, err)
	c.begin(t.Context())(nil) // without a name
	assert.Empty(t, c.named)
}
