package proxy

import (
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"google.golang.org/grpc"

	"github.com/veneerdm/veneer/snapshots"
)

// Register has a gRPC server answer containerd with a driver, before it serves.
func Register(r grpc.ServiceRegistrar, d *snapshots.Driver) {
	snapshotsapi.RegisterSnapshotsServer(r, snapshotservice.FromSnapshotter(New(d)))
}
