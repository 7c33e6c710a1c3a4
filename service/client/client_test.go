package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/service"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/client"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

func TestTheClientIsTheDriver(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	assert.Equal(t, d.Root(), c.Root())
	assert.Equal(t, "v-test", c.Daemon().Version)
	assert.Positive(t, c.Daemon().PID)

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
	again, err := c.Mounts(ctx, "b")
	require.NoError(t, err)
	assert.NotEmpty(t, again.Source)
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
	require.NoError(t, c.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		keys = append(keys, i.Key)
		_, err := c.Stat(ctx, i.Key) // the client may be used within
		return err
	}))
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
	sb, err := c.Check(ctx)
	require.NoError(t, err)
	wantSB, err := d.Check(ctx)
	require.NoError(t, err)
	assert.Equal(t, wantSB.DataBlockSize, sb.DataBlockSize)

	require.NoError(t, c.PutRecord(snapshots.Record{Name: "r", Data: []byte(`{"x":1}`)}))
	r, err := c.Record("r")
	require.NoError(t, err)
	assert.JSONEq(t, `{"x":1}`, string(r.Data))
	all, err := c.Records()
	require.NoError(t, err)
	assert.Len(t, all, 1)
	require.NoError(t, c.DeleteRecord("r"))
	_, err = c.Record("r")
	assert.ErrorIs(t, err, snapshots.ErrNotFound)
}

func TestErrorsKeepTheirClass(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	same := func(want, got error, class error) {
		t.Helper()
		require.ErrorIs(t, got, class)
		assert.Equal(t, want.Error(), got.Error())
		var theirs, mine *snapshots.OpError
		if errors.As(want, &theirs) {
			require.ErrorAs(t, got, &mine)
			assert.Equal(t, theirs.Op, mine.Op)
			assert.Equal(t, theirs.Key, mine.Key)
		}
	}
	_, want := d.Stat(ctx, "nobody")
	_, err := c.Stat(ctx, "nobody")
	same(want, err, snapshots.ErrNotFound)
	_, err = c.Prepare(ctx, "a", "")
	require.NoError(t, err)
	_, want = d.Prepare(ctx, "a", "")
	_, err = c.Prepare(ctx, "a", "")
	same(want, err, snapshots.ErrExists)
	same(d.Resize(ctx, "a", 1), c.Resize(ctx, "a", 1), snapshots.ErrInvalid)
	require.NoError(t, c.Commit(ctx, "A", "a"))
	_, err = c.View(ctx, "v", "A")
	require.NoError(t, err)
	same(d.Remove(ctx, "A"), c.Remove(ctx, "A"), snapshots.ErrInUse)
	_, want = d.Children(ctx, "nobody")
	_, err = c.Children(ctx, "nobody")
	same(want, err, snapshots.ErrNotFound)
	_, want = d.Freed(ctx, "nobody")
	_, err = c.Freed(ctx, "nobody")
	same(want, err, snapshots.ErrNotFound)
	_, err = c.Record("nothing")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	_, want = d.Prepare(ctx, strings.Repeat("k", 5000), "")
	_, err = c.Prepare(ctx, strings.Repeat("k", 5000), "")
	same(want, err, snapshots.ErrInvalid)
	_, err = c.Prepare(ctx, "\xff", "")
	require.ErrorIs(t, err, snapshots.ErrInvalid)
}

// broken is a driver whose list and whose answers fail as it is told.
type broken struct {
	service.Driver
	err error
}

func (b broken) Stat(context.Context, string) (snapshots.Info, error) { return snapshots.Info{}, b.err }
func (b broken) Walk(context.Context, func(context.Context, snapshots.Info) error) error {
	return b.err
}

func TestEveryClassArrives(t *testing.T) {
	d := newDriver(t)
	for _, one := range class.Table() {
		socket, stop := serve(t, broken{d, fmt.Errorf("do it: %w", errors.Join(one, class.Foreign))})
		c := dial(t, socket)
		_, err := c.Stat(t.Context(), "a")
		require.ErrorIs(t, err, one)
		require.ErrorIs(t, err, class.Foreign)
		err = c.Walk(t.Context(), nil)
		require.ErrorIs(t, err, one)
		require.ErrorIs(t, err, class.Foreign)
		require.NoError(t, c.Close())
		stop()
	}
}

// 5,000 snapshots with 4 KiB of labels each are 20 MiB, more than any message.
func TestManySnapshotsWithLargeLabelsAreListed(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	_, err := d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	require.NoError(t, d.Commit(ctx, "base", "work"))
	const n = 5_000
	for i := range n - 1 { // views cost no thin device
		_, err := d.View(ctx, fmt.Sprintf("view-%05d", i), "base", snapshots.WithLabels(map[string]string{"large": strings.Repeat("x", 4<<10)}))
		require.NoError(t, err)
	}
	seen := 0
	require.NoError(t, c.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Key != "base" {
			assert.Len(t, i.Labels["large"], 4<<10)
		}
		seen++
		return nil
	}))
	assert.Equal(t, n, seen)
	kids, err := c.Children(ctx, "base")
	require.NoError(t, err)
	assert.Len(t, kids, n-1)
	err = c.Walk(ctx, func(context.Context, snapshots.Info) error { return errFlames })
	require.ErrorIs(t, err, errFlames)
}

// A list is sent in messages however long its keys are, in either direction.
func TestManyLongKeys(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	_, err := d.Prepare(ctx, "work", "")
	require.NoError(t, err)
	require.NoError(t, d.Commit(ctx, "base", "work"))
	var keys []string
	const n = service.MaxMessage/metadata.MaxKeyLen + 10
	for i := range n {
		key := fmt.Sprintf("%0*d", metadata.MaxKeyLen, i)
		_, err := d.View(ctx, key, "base")
		require.NoError(t, err)
		keys = append(keys, key)
	}
	kids, err := c.Children(ctx, "base")
	require.NoError(t, err)
	assert.Equal(t, keys, kids)
	freed, err := c.Freed(ctx, keys...)
	require.NoError(t, err)
	assert.Zero(t, freed, "views own nothing")
	_, err = c.Freed(ctx, append(keys, "nobody")...)
	require.ErrorIs(t, err, snapshots.ErrNotFound)
}

// What could not be listed is refused when it is made, whoever makes it.
func TestLabelsThatFitNowhere(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	labels := func(n int) snapshots.Option {
		return snapshots.WithLabels(map[string]string{"l": strings.Repeat("x", n)})
	}
	_, err := c.Prepare(ctx, "a", "", labels(metadata.MaxLabels-metadata.LabelCost-1))
	require.NoError(t, err)
	i, err := c.Stat(ctx, "a")
	require.NoError(t, err)
	assert.Len(t, i.Labels["l"], metadata.MaxLabels-metadata.LabelCost-1)
	more := snapshots.WithLabels(map[string]string{"m": "x"})
	for what, err := range map[string]error{
		"prepare": func() error { _, err := c.Prepare(ctx, "b", "", labels(metadata.MaxLabels)); return err }(),
		"clone":   func() error { _, err := c.Clone(ctx, "b", "a", more); return err }(),
		"commit":  c.Commit(ctx, "A", "a", more),
		"driver":  func() error { _, err := d.Prepare(ctx, "b", "", labels(metadata.MaxLabels)); return err }(),
		"labels": func() error {
			_, err := c.SetLabels(ctx, "a", func(l map[string]string) (map[string]string, error) { l["m"] = "x"; return l, nil })
			return err
		}(),
	} {
		require.ErrorIs(t, err, snapshots.ErrInvalid, what)
		assert.ErrorContains(t, err, "keep less in them", what)
	}
	_, err = c.Prepare(ctx, "b", "", labels(service.MaxMessage))
	require.ErrorIs(t, err, snapshots.ErrInvalid, "and what is larger than a message is not even sent")
	assert.ErrorContains(t, err, "a message has")
	_, err = d.Stat(ctx, "b")
	require.ErrorIs(t, err, snapshots.ErrNotFound)
	require.ErrorIs(t, c.PutRecord(snapshots.Record{Name: "r", Data: make([]byte, service.MaxMessage-100)}), class.Invalid)
}

func TestLabelsChangeTogether(t *testing.T) {
	ctx := t.Context()
	d, c := pair(t)
	_, err := d.Prepare(ctx, "a", "")
	require.NoError(t, err)
	var all sync.WaitGroup
	const each = 20
	for g := range 4 {
		all.Go(func() {
			for n := range each {
				_, err := c.SetLabels(ctx, "a", func(l map[string]string) (map[string]string, error) {
					if l == nil {
						l = map[string]string{}
					}
					l[fmt.Sprintf("%d-%d", g, n)] = "x"
					return l, nil
				})
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	i, err := d.Stat(ctx, "a")
	require.NoError(t, err)
	assert.Len(t, i.Labels, 4*each, "%v", maps.Keys(i.Labels))
	_, err = c.SetLabels(ctx, "a", func(map[string]string) (map[string]string, error) { return nil, errFlames })
	require.ErrorIs(t, err, errFlames)
	_, err = c.SetLabels(ctx, "nobody", nil)
	require.ErrorIs(t, err, snapshots.ErrNotFound)
}

type withBackup struct {
	service.Driver
	data []byte
}

func (b withBackup) Backup(_ context.Context, w io.Writer) error {
	_, err := w.Write(b.data)
	return err
}

func TestBackup(t *testing.T) {
	d := newDriver(t)
	data := bytes.Repeat([]byte("catalog "), 1<<20)
	socket, _ := serve(t, withBackup{d, data})
	var got bytes.Buffer
	require.NoError(t, dial(t, socket).Backup(t.Context(), &got))
	assert.True(t, bytes.Equal(data, got.Bytes()))
	socket, _ = serve(t, broken{Driver: d})
	require.ErrorIs(t, dial(t, socket).Backup(t.Context(), io.Discard), class.NotSupported)
}

func TestNobodyAnswers(t *testing.T) {
	_, err := client.Dial(t.Context(), filepath.Join(t.TempDir(), "nobody"), "v-test")
	require.Error(t, err)
	assert.Empty(t, class.All(err))
	assert.ErrorContains(t, err, "does not answer")
}

// of answers the handshake as another version would.
type of struct {
	api.UnimplementedVeneerServer
	api uint32
}

func (o of) Handshake(context.Context, *api.HandshakeRequest) (*api.HandshakeResponse, error) {
	return &api.HandshakeResponse{Api: o.api, Version: "v9.9", Root: "/x", Pid: 42}, nil
}

// One clear sentence, whichever side is newer, and when what answers is something else.
func TestVersionsThatDoNotFit(t *testing.T) {
	answer := func(register func(*grpc.Server)) string {
		l, socket := listen(t)
		s := grpc.NewServer()
		register(s)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		t.Cleanup(func() { s.Stop(); assert.NoError(t, <-ended) })
		return socket
	}
	_, err := client.Dial(t.Context(), answer(func(s *grpc.Server) { api.RegisterVeneerServer(s, of{api: 2}) }), "v1.1")
	require.ErrorIs(t, err, class.Version)
	for _, part := range []string{"process 42", "v9.9", "version 2", "v1.1", "version 1", "restart the daemon"} {
		assert.ErrorContains(t, err, part)
	}
	assert.NotContains(t, err.Error(), "\n")
	_, err = client.Dial(t.Context(), answer(func(*grpc.Server) {}), "v1.1")
	require.ErrorIs(t, err, class.Version)
	assert.ErrorContains(t, err, "restart the daemon")
	assert.NotContains(t, err.Error(), "\n")

	// The same version of the protocol, but an older program without the call.
	c := dial(t, answer(func(s *grpc.Server) { api.RegisterVeneerServer(s, of{api: 1}) }))
	_, err = c.Stat(t.Context(), "a")
	require.ErrorIs(t, err, class.NotSupported)
	assert.ErrorContains(t, err, `"v9.9"`)
	require.ErrorIs(t, c.Walk(t.Context(), nil), class.NotSupported)
}

// A daemon that hangs up before it says who it is, is none.
func TestGarbageOnTheSocket(t *testing.T) {
	l, socket := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") // it may be gone
			_ = c.Close()
		}
	}()
	_, err := client.Dial(t.Context(), socket, "v-test")
	require.Error(t, err)
	assert.Empty(t, class.All(err))
	require.NoError(t, l.Close())
	_, err = net.Dial("unix", socket)
	require.Error(t, err)
}
