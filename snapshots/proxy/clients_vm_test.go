package proxy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	remote "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/errdefs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/veneerdm/veneer/service"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
	"github.com/veneerdm/veneer/test/resulttest"
	"github.com/veneerdm/veneer/test/waittest"
)

var soak = flag.Duration("soak", time.Minute, "how long many clients work at once")

// served is a driver on a real kernel behind its real server.
type served struct {
	d       *snapshots.Driver
	address string
}

func serve(t *testing.T) *served {
	t.Helper()
	requireVM(t)
	d, dir, err := open(t.Context(), "ext4")
	require.NoError(t, err)
	run, err := os.MkdirTemp("/run", "veneer-test-") //nolint:usetesting // a socket's path is short
	require.NoError(t, err)
	s := &served{d: d, address: filepath.Join(run, "sub", "veneer.sock")}
	l, err := service.Listen(s.address)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := service.NewServer(nil, proxy.NewMetrics(d).Observe)
	proxy.Register(server, d)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, destroy(d, dir))
		require.NoError(t, os.RemoveAll(run))
	})
	return s
}

func (s *served) dial(t testing.TB) (csnapshots.Snapshotter, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(256<<20)))
	require.NoError(t, err)
	return remote.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "veneer"), conn
}

func TestSocketIsRootsAlone(t *testing.T) {
	s := serve(t)
	st, err := os.Stat(s.address)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	st, err = os.Stat(filepath.Dir(s.address))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())

	_, err = service.Listen(s.address)
	require.ErrorIs(t, err, snapshots.ErrLocked, "a socket that is answered is not replaced")

	// Somebody who got at the socket all the same is hung up on.
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(s.address)), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(s.address), 0o755))
	require.NoError(t, os.Chmod(s.address, 0o666))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0))
	require.Zero(t, errno)
	c, err := net.Dial("unix", s.address)
	_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 0, ^uintptr(0))
	require.Zero(t, errno)
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(waittest.Hang)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
	client, conn := s.dial(t)
	_, err = client.Stat(t.Context(), "nobody")
	require.True(t, errdefs.IsNotFound(err), "root is answered")
	require.NoError(t, conn.Close())
}

func TestOddClients(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	client, conn := s.dial(t)
	defer func() { require.NoError(t, conn.Close()) }()

	// Half a message, and one that is none.
	for _, bytes := range []string{"PRI * HTTP/2.0\r\n", strings.Repeat("\xff", 4096), ""} {
		c, err := net.Dial("unix", s.address)
		require.NoError(t, err)
		_, err = io.WriteString(c, bytes)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	_, err := client.Prepare(ctx, strings.Repeat("k", 100<<20), "")
	require.ErrorContains(t, err, "larger than max", "a message of 100 MiB is not even read")
	_, err = client.Prepare(ctx, "", "")
	assert.True(t, errdefs.IsInvalidArgument(err), "%v", err)
	_, err = client.Prepare(ctx, "not \xff UTF-8", "")
	require.Error(t, err)

	var all []byte
	for b := range byte(128) {
		all = append(all, b)
	}
	odd := "every odd byte " + string(all) + " ünï/cödé"
	label := map[string]string{"long": strings.Repeat("x", 4096), odd: odd}
	_, err = client.Prepare(ctx, odd, "", csnapshots.WithLabels(label))
	require.NoError(t, err)
	i, err := client.Stat(ctx, odd)
	require.NoError(t, err)
	assert.Equal(t, odd, i.Name)
	assert.Equal(t, label, i.Labels)
	require.NoError(t, client.Remove(ctx, odd))
}

func TestTenThousandSnapshotsAreListed(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	client, conn := s.dial(t)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err := client.Prepare(ctx, "work", "")
	require.NoError(t, err)
	require.NoError(t, client.Commit(ctx, "base", "work"))
	// Views cost no thin devices, so that ten thousand take seconds.
	const n = 10_000
	for i := range n - 1 {
		_, err := s.d.View(ctx, fmt.Sprintf("view-%05d", i), "base")
		require.NoError(t, err)
	}
	seen := 0
	require.NoError(t, client.Walk(ctx, func(context.Context, csnapshots.Info) error { seen++; return nil }))
	assert.Equal(t, n, seen)
	for i := range n - 1 {
		require.NoError(t, s.d.Remove(ctx, fmt.Sprintf("view-%05d", i)))
	}
	require.NoError(t, client.Remove(ctx, "base"))
}

// Thirty-two clients at once, some of which hang up in the middle of a call: no
// error that is not theirs, nothing left, and the server does not grow.
func TestManyClients(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	first, conn := s.dial(t)
	_, err := first.Prepare(ctx, "work", "")
	require.NoError(t, err)
	require.NoError(t, first.Commit(ctx, "base", "work"))
	s.work(t, 0) // what is allocated once is allocated now
	before := measure(t)
	row, end := resulttest.Begin(t, "32 clients at once, some hang up", 3)
	defer end()
	calls := s.work(t, *soak)
	row.Points = int(calls)
	require.NoError(t, s.d.Drain(ctx))
	after := measure(t)
	t.Logf("%d calls; descriptors %d before and %d after, heap %d KiB and %d KiB", calls, before.fds, after.fds, before.heap>>10, after.heap>>10)
	assert.LessOrEqual(t, after.fds, before.fds+2)
	assert.Less(t, after.heap, before.heap+16<<20)
	var left []string
	require.NoError(t, first.Walk(ctx, func(_ context.Context, i csnapshots.Info) error { left = append(left, i.Name); return nil }))
	assert.Equal(t, []string{"base"}, left)
	info, err := s.d.Pool(ctx)
	require.NoError(t, err)
	assert.Zero(t, info.Trash)
	assert.Empty(t, info.Unknown)
	require.NoError(t, conn.Close())
}

type measured struct {
	fds  int
	heap uint64
}

func measure(t *testing.T) measured {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return measured{len(fds), m.HeapAlloc}
}

// work has clients work for so long, and each of them at least three rounds.
func (s *served) work(t *testing.T, long time.Duration) int64 {
	t.Helper()
	var calls atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for round := 0; round < 3 || ctx.Err() == nil; round++ {
				c, conn := s.dial(t)
				s.round(t, r, c, fmt.Sprintf("g%d-%d", g, round), &calls)
				assert.NoError(t, conn.Close())
			}
		})
	}
	all.Wait()
	return calls.Load()
}

// round is one client's life: a layer and a container, and all of it removed.
func (s *served) round(t *testing.T, r *rand.Rand, c csnapshots.Snapshotter, name string, calls *atomic.Int64) {
	t.Helper()
	ctx := context.Background() // a round is finished once it has begun
	ok := func(err error) {
		t.Helper()
		calls.Add(1)
		assert.NoError(t, err)
	}
	_, err := c.Prepare(ctx, name, "base")
	ok(err)
	if r.IntN(3) == 0 {
		m, err := c.Mounts(ctx, name)
		ok(err)
		if len(m) == 1 {
			ok(scribble(m[0].Source))
		}
	}
	ok(c.Commit(ctx, name+"-layer", name))
	_, err = c.View(ctx, name+"-view", name+"-layer")
	ok(err)
	_, err = c.Usage(ctx, name+"-layer")
	ok(err)
	ok(c.Walk(ctx, func(context.Context, csnapshots.Info) error { return nil }))
	// A client that is gone before its answer comes: made or not, never half.
	short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
	_, err = c.Prepare(short, name+"-killed", name+"-layer")
	cancel()
	calls.Add(1)
	if err != nil {
		assert.True(t, errdefs.IsDeadlineExceeded(err) || errors.Is(err, context.DeadlineExceeded) || errdefs.IsCanceled(err), "%v", err)
	}
	ok(c.Remove(ctx, name+"-view"))
	calls.Add(1)
	removeWith(t, c, name+"-layer", name+"-killed")
}

// removeWith removes a layer and what a client that was gone may have made on it. The
// call that makes it may begin at the server long after the client gave it up.
func removeWith(t *testing.T, c csnapshots.Snapshotter, layer, killed string) {
	t.Helper()
	for until := time.Now().Add(waittest.Hang); time.Now().Before(until); {
		if err := c.Remove(context.Background(), killed); !errdefs.IsNotFound(err) {
			assert.NoError(t, err)
		}
		err := c.Remove(context.Background(), layer)
		if !errdefs.IsFailedPrecondition(err) {
			assert.NoError(t, err)
			return
		}
	}
	assert.Fail(t, "what a dead client began never ends", killed)
}

// scribble writes into the middle of a device, past its filesystem's tables.
func scribble(device string) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 4096), 48<<20)
	return errors.Join(err, f.Close())
}
