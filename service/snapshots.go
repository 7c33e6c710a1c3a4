package service

import (
	"context"
	"errors"
	"io"
	"maps"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
	"github.com/veneerdm/veneer/snapshots"

	"google.golang.org/grpc"
)

// sized is a request for a snapshot.
type sized interface {
	GetLabels() map[string]string
	GetSize() uint64
}

func options(r sized) []snapshots.Option {
	return []snapshots.Option{snapshots.WithLabels(r.GetLabels()), snapshots.WithSize(r.GetSize())}
}

func mount(m snapshots.Mount, err error) (*api.Mount, error) {
	if err != nil {
		return nil, err
	}
	return wire.FromMount(m), nil
}

func done(err error) (*api.Done, error) {
	if err != nil {
		return nil, err
	}
	return &api.Done{}, nil
}

func (v *veneer) Stat(ctx context.Context, r *api.StatRequest) (*api.Snapshot, error) {
	i, err := v.driver.Stat(ctx, r.GetKey())
	if err != nil {
		return nil, err
	}
	return wire.FromInfo(i), nil
}

func (v *veneer) Prepare(ctx context.Context, r *api.PrepareRequest) (*api.Mount, error) {
	return mount(v.driver.Prepare(ctx, r.GetKey(), r.GetParent(), options(r)...))
}

func (v *veneer) View(ctx context.Context, r *api.ViewRequest) (*api.Mount, error) {
	return mount(v.driver.View(ctx, r.GetKey(), r.GetParent(), options(r)...))
}

func (v *veneer) Clone(ctx context.Context, r *api.CloneRequest) (*api.Mount, error) {
	return mount(v.driver.Clone(ctx, r.GetKey(), r.GetOriginal(), options(r)...))
}

func (v *veneer) Rollback(ctx context.Context, r *api.RollbackRequest) (*api.Mount, error) {
	return mount(v.driver.Rollback(ctx, r.GetKey(), r.GetTo()))
}

func (v *veneer) Mounts(ctx context.Context, r *api.MountsRequest) (*api.Mount, error) {
	return mount(v.driver.Mounts(ctx, r.GetKey()))
}

func (v *veneer) Commit(ctx context.Context, r *api.CommitRequest) (*api.Done, error) {
	return done(v.driver.Commit(ctx, r.GetName(), r.GetKey(), options(r)...))
}

func (v *veneer) Remove(ctx context.Context, r *api.RemoveRequest) (*api.Done, error) {
	return done(v.driver.Remove(ctx, r.GetKey()))
}

func (v *veneer) Resize(ctx context.Context, r *api.ResizeRequest) (*api.Done, error) {
	return done(v.driver.Resize(ctx, r.GetKey(), r.GetSize()))
}

// errOutdated ends a change of labels that somebody else has changed.
var errOutdated = errors.New("the labels have changed meanwhile")

func (v *veneer) SetLabels(ctx context.Context, r *api.SetLabelsRequest) (*api.SetLabelsResponse, error) {
	i, err := v.driver.SetLabels(ctx, r.GetKey(), func(labels map[string]string) (map[string]string, error) {
		if !maps.Equal(labels, r.GetExpected()) {
			return nil, errOutdated
		}
		return r.GetLabels(), nil
	})
	outdated := errors.Is(err, errOutdated)
	if outdated {
		i, err = v.driver.Stat(ctx, r.GetKey())
	}
	if err != nil {
		return nil, err
	}
	return &api.SetLabelsResponse{Snapshot: wire.FromInfo(i), Outdated: outdated}, nil
}

func (v *veneer) Usage(ctx context.Context, r *api.UsageRequest) (*api.SnapshotUsage, error) {
	u, err := v.driver.Usage(ctx, r.GetKey())
	if err != nil {
		return nil, err
	}
	return wire.FromUsage(u), nil
}

func (v *veneer) Freed(stream grpc.ClientStreamingServer[api.Keys, api.FreedResponse]) error {
	var keys []string
	for {
		more, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		keys = append(keys, more.GetKeys()...)
	}
	n, err := v.driver.Freed(stream.Context(), keys...)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&api.FreedResponse{Bytes: n})
}

func (v *veneer) Holders(ctx context.Context, r *api.HoldersRequest) (*api.HoldersResponse, error) {
	n, err := v.driver.Holders(ctx, r.GetKey())
	if err != nil {
		return nil, err
	}
	return &api.HoldersResponse{Holders: int64(n)}, nil
}
