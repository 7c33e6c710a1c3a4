package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/remote"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/thinpool"
)

func Example() {
	// The daemon's side is one line: server.RegisterService(remote.Service(), driver).
	client, err := remote.Dial("/run/veneer/veneer.sock")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = client.Prepare(ctx, "container", "layer")
	fmt.Println(err)
	// Output: context canceled
}

func serve(t *testing.T) (*snapshots.Driver, *remote.Client) {
	t.Helper()
	m := snapstest.NewFake(t)
	d, err := snapshots.CreatePool(t.Context(), m.Config(), m.Options())
	require.NoError(t, err)
	// A socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("/tmp", "v") //nolint:usetesting // a short path
	require.NoError(t, err)
	socket := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	server := grpc.NewServer()
	server.RegisterService(remote.Service(), d)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	c, err := remote.Dial(socket)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		server.Stop()
		require.NoError(t, <-ended)
		require.NoError(t, d.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
	return d, c
}

func TestTheClientIsTheDriver(t *testing.T) {
	ctx := t.Context()
	d, c := serve(t)
	root, err := c.Root(ctx)
	require.NoError(t, err)
	assert.Equal(t, d.Root(), root)

	m, err := c.Prepare(ctx, "a", "", snapshots.WithLabels(map[string]string{"l": "1"}), snapshots.WithSize(128<<20))
	require.NoError(t, err)
	mine, err := d.Mounts(ctx, "a")
	require.NoError(t, err)
	assert.Equal(t, mine, m)
	require.NoError(t, c.Commit(ctx, "A", "a"))
	i, err := c.Stat(ctx, "A")
	require.NoError(t, err)
	want, err := d.Stat(ctx, "A")
	require.NoError(t, err)
	assert.Equal(t, want, i)
	assert.EqualValues(t, 128<<20, i.Size)

	_, err = c.View(ctx, "v", "A")
	require.NoError(t, err)
	_, err = c.Prepare(ctx, "b", "A")
	require.NoError(t, err)
	_, err = c.Clone(ctx, "c", "b")
	require.NoError(t, err)
	_, err = c.Rollback(ctx, "b", "c")
	require.NoError(t, err)
	require.NoError(t, c.Resize(ctx, "b", 256<<20))
	_, err = c.Usage(ctx, "b")
	require.NoError(t, err)
	_, err = c.Freed(ctx, "b", "c")
	require.NoError(t, err)
	n, err := c.Holders(ctx, "b")
	require.NoError(t, err)
	assert.Zero(t, n)
	kids, err := c.Children(ctx, "A")
	require.NoError(t, err)
	assert.Equal(t, []string{"b", "c", "v"}, kids)
	var keys []string
	require.NoError(t, c.Walk(ctx, func(_ context.Context, i snapshots.Info) error { keys = append(keys, i.Key); return nil }))
	assert.Equal(t, []string{"A", "b", "c", "v"}, keys)
	require.NoError(t, c.Remove(ctx, "c"))
	require.NoError(t, c.Drain(ctx))
	require.NoError(t, c.GrowPool(ctx, 512<<20, 0))
	p, err := c.Pool(ctx)
	require.NoError(t, err)
	wantPool, err := d.Pool(ctx)
	require.NoError(t, err)
	assert.Equal(t, wantPool, p)
	assert.IsType(t, thinpool.Working{}, p.Status)
	_, err = c.Check(ctx)
	require.NoError(t, err)

	require.NoError(t, c.PutRecord(snapshots.Record{Name: "r", Data: []byte(`{"x":1}`)}))
	r, err := c.Record("r")
	require.NoError(t, err)
	assert.JSONEq(t, `{"x":1}`, string(r.Data))
	all, err := c.Records()
	require.NoError(t, err)
	assert.Len(t, all, 1)
	require.NoError(t, c.DeleteRecord("r"))
}

func TestErrorsKeepTheirClass(t *testing.T) {
	ctx := t.Context()
	_, c := serve(t)
	_, err := c.Stat(ctx, "nobody")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	assert.ErrorContains(t, err, `"nobody"`)
	_, err = c.Prepare(ctx, "a", "")
	require.NoError(t, err)
	_, err = c.Prepare(ctx, "a", "")
	require.ErrorIs(t, err, snapshots.ErrExists)
	require.ErrorIs(t, c.Resize(ctx, "a", 1), snapshots.ErrInvalid)
	require.NoError(t, c.Commit(ctx, "A", "a"))
	_, err = c.View(ctx, "v", "A")
	require.NoError(t, err)
	require.ErrorIs(t, c.Remove(ctx, "A"), snapshots.ErrInUse)
	_, err = c.Record("nothing")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	_, err = c.Prepare(ctx, strings.Repeat("k", 5000), "")
	require.ErrorIs(t, err, snapshots.ErrInvalid)
}

func TestNobodyAnswers(t *testing.T) {
	c, err := remote.Dial(filepath.Join(t.TempDir(), "nobody"))
	require.NoError(t, err)
	_, err = c.Root(t.Context())
	require.Error(t, err)
	assert.NotErrorIs(t, err, snapshots.ErrNotFound)
	assert.False(t, errors.Is(err, syscall.ENOTTY))
	require.NoError(t, c.Close())
}
