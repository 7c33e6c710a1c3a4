package proxy_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	remote "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
)

func requireVM(t testing.TB) {
	t.Helper()
	if os.Getenv("VENEER_VM") == "" {
		t.Skip("needs the VM: make test-vm")
	}
}

// open makes a store for one case of containerd's suite, beside the case's own
// folder: a case that fails prints all files of that one.
func open(ctx context.Context, filesystem string) (*snapshots.Driver, string, error) {
	base := uint64(64 << 20)
	if filesystem == "xfs" {
		base = 320 << 20
	}
	dir, err := os.MkdirTemp("", "store-")
	if err != nil {
		return nil, "", err
	}
	d, err := snapshots.CreatePool(ctx, snapshots.Config{Root: dir}, snapshots.PoolOptions{
		Name: filepath.Base(dir), DataSize: 2 << 30, MetadataSize: 16 << 20, BaseSize: base, Filesystem: filesystem,
	})
	return d, dir, err
}

// destroy takes the pool away although the suite may have closed the driver.
func destroy(d *snapshots.Driver, dir string) error {
	err := d.Close()
	again, openErr := snapshots.Open(context.Background(), snapshots.Config{Root: dir})
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	return errors.Join(err, again.DestroyPool(context.Background()), os.RemoveAll(dir))
}

// containerd's own suite, all its cases, in the process and over a socket.
func TestSnapshotterSuite(t *testing.T) {
	requireVM(t)
	for _, filesystem := range []string{"ext4", "xfs"} {
		t.Run(filesystem, func(t *testing.T) {
			testsuite.SnapshotterSuite(t, "veneer", func(ctx context.Context, _ string) (csnapshots.Snapshotter, func() error, error) {
				d, dir, err := open(ctx, filesystem)
				if err != nil {
					return nil, nil, err
				}
				return proxy.New(d), func() error { return destroy(d, dir) }, nil
			})
		})
		t.Run(filesystem+"-grpc", func(t *testing.T) {
			testsuite.SnapshotterSuite(t, "veneer", func(ctx context.Context, root string) (csnapshots.Snapshotter, func() error, error) {
				d, dir, err := open(ctx, filesystem)
				if err != nil {
					return nil, nil, err
				}
				client, stop, err := overSocket(proxy.New(d), root)
				return client, func() error { return errors.Join(stop(), destroy(d, dir)) }, err
			})
		})
	}
}

// overSocket serves a snapshotter on a unix socket and gives a client of it.
func overSocket(s csnapshots.Snapshotter, root string) (csnapshots.Snapshotter, func() error, error) {
	address := filepath.Join(root, "veneer.sock")
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", address)
	if err != nil {
		return nil, nil, err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(s))
	go func() { _ = server.Serve(listener) }() // ends with Stop
	conn, err := grpc.NewClient("unix://"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	return remote.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "veneer"), func() error {
		err := conn.Close()
		server.Stop()
		return err
	}, nil
}
