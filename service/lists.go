package service

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
	"github.com/veneerdm/veneer/snapshots"
)

// sizeOf is the size of a message within another.
func sizeOf[M proto.Message](m M) int { return proto.Size(m) + 8 }

func (v *veneer) Walk(_ *api.WalkRequest, stream grpc.ServerStreamingServer[api.Snapshots]) error {
	chunks := wire.Chunks[*api.Snapshot]{Size: sizeOf[*api.Snapshot], Send: func(s []*api.Snapshot) error {
		return stream.Send(&api.Snapshots{Snapshots: s})
	}}
	err := v.driver.Walk(stream.Context(), func(_ context.Context, i snapshots.Info) error { return chunks.Add(wire.FromInfo(i)) })
	if err != nil {
		return err
	}
	return chunks.Flush()
}

func (v *veneer) Children(r *api.ChildrenRequest, stream grpc.ServerStreamingServer[api.Keys]) error {
	keys, err := v.driver.Children(stream.Context(), r.GetKey())
	if err != nil {
		return err
	}
	chunks := wire.Chunks[string]{Size: wire.Text, Send: func(k []string) error { return stream.Send(&api.Keys{Keys: k}) }}
	return sendAll(&chunks, keys)
}

func (v *veneer) ListRecords(_ *api.ListRecordsRequest, stream grpc.ServerStreamingServer[api.Records]) error {
	records, err := v.driver.Records()
	if err != nil {
		return err
	}
	chunks := wire.Chunks[*api.Record]{Size: sizeOf[*api.Record], Send: func(r []*api.Record) error {
		return stream.Send(&api.Records{Records: r})
	}}
	for _, r := range records {
		if err := chunks.Add(wire.FromRecord(r)); err != nil {
			return err
		}
	}
	return chunks.Flush()
}

func sendAll[T any](chunks *wire.Chunks[T], items []T) error {
	for _, item := range items {
		if err := chunks.Add(item); err != nil {
			return err
		}
	}
	return chunks.Flush()
}
