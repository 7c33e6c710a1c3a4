package crash_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/service/client"
	"github.com/veneerdm/veneer/test/waittest"
)

// serve runs the daemon under the tracer, has a client work with it, and kills it after
// a system call that the work made. The result says how far the work got: the key of
// each acknowledged step.
func (s *shop) serve(t *testing.T, at int, work func(context.Context, *client.Client) error) (k *tracer, acked error) {
	t.Helper()
	out, err := os.Create(s.out)
	require.NoError(t, err)
	defer out.Close()
	socket := filepath.Join(s.dir, "socket")
	k = &tracer{killAt: at}
	done := make(chan error, 1)
	daemon := make(chan int, 1)
	go func() { done <- k.run(s.program, s.args("serve"), out, func(pid int) { daemon <- pid }) }()
	pid := <-daemon
	ctx := waittest.Context(t)
	var c *client.Client
	waittest.Until(t, "the daemon answers", func() bool {
		select {
		case err := <-done:
			require.Fail(t, "the daemon has ended", "%v: %s", err, s.said())
		default:
		}
		c, err = client.Dial(ctx, socket, "test")
		return err == nil
	})
	k.armed.Store(true)
	acked = work(ctx, c)
	k.armed.Store(false)
	require.NoError(t, c.Close())
	if acked == nil && !k.killed {
		p, err := os.FindProcess(pid)
		require.NoError(t, err)
		_ = p.Kill() // what was acknowledged has to be there all the same
	}
	require.NoError(t, <-done)
	return k, acked
}

// dieServing kills the daemon under requests of each verb.
func (s *shop) dieServing(t *testing.T) (died int) {
	t.Helper()
	for _, v := range []struct {
		name string
		work func(context.Context, *client.Client) error
		undo []string
	}{
		{"serve prepare", func(ctx context.Context, c *client.Client) error {
			_, err := c.Prepare(ctx, "container/new", "")
			return err
		}, []string{"container", "rm", "new"}},
		{"serve clone", func(ctx context.Context, c *client.Client) error {
			_, err := c.Clone(ctx, "container/new", "container/c")
			return err
		}, []string{"container", "rm", "new"}},
		{"serve rollback", func(ctx context.Context, c *client.Client) error {
			_, err := c.Rollback(ctx, "container/c", "container/c")
			return err
		}, nil},
	} {
		before, err := s.state()
		require.NoError(t, err)
		whole, err := s.serve(t, 0, v.work)
		require.NoError(t, err, s.said())
		after, err := s.state()
		require.NoError(t, err)
		undo := func() {
			if v.undo != nil && s.has("container/new") {
				s.must(v.undo...)
			}
		}
		undo()
		for at := 1; at <= len(whole.calls); at += every(len(whole.calls)) {
			k, acked := s.serve(t, at, v.work)
			now, err := s.state()
			require.NoError(t, err)
			if acked == nil {
				require.Equal(t, summary(after), summary(now), "%s was acknowledged", v.name)
			} else if !maps.Equal(now, before) {
				require.Equal(t, summary(after), summary(now), "%s, killed after call %d", v.name, at)
			}
			if k.killed {
				died++
				s.pairs[v.name+" "+k.calls[len(k.calls)-1]] = true
			}
			undo()
		}
	}
	return died
}
