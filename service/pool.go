package service

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/veneerdm/veneer/class"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
)

// maxRecord is how many bytes of a record are taken, so that it fits into a list.
const maxRecord = MaxMessage / 2

func (v *veneer) Pool(ctx context.Context, _ *api.PoolRequest) (*api.PoolInfo, error) {
	p, err := v.driver.Pool(ctx)
	if err != nil {
		return nil, err
	}
	return wire.FromPool(p), nil
}

func (v *veneer) GrowPool(ctx context.Context, r *api.GrowPoolRequest) (*api.Done, error) {
	return done(v.driver.GrowPool(ctx, r.GetData(), r.GetMetadata()))
}

func (v *veneer) Check(ctx context.Context, _ *api.CheckRequest) (*api.Superblock, error) {
	s, err := v.driver.Check(ctx)
	if err != nil {
		return nil, err
	}
	return wire.FromSuperblock(s), nil
}

func (v *veneer) Drain(ctx context.Context, _ *api.DrainRequest) (*api.Done, error) {
	return done(v.driver.Drain(ctx))
}

func (v *veneer) Backup(_ *api.BackupRequest, stream grpc.ServerStreamingServer[api.Data]) error {
	b, ok := v.driver.(backuper)
	if !ok {
		return fmt.Errorf("%w: this daemon (version %s) cannot write a backup", class.NotSupported, v.version)
	}
	return b.Backup(stream.Context(), wire.Writer(func(p []byte) error { return stream.Send(&api.Data{Data: p}) }))
}

func (v *veneer) PutRecord(_ context.Context, r *api.Record) (*api.Done, error) {
	if n := len(r.GetData()); n > maxRecord {
		return nil, fmt.Errorf("%w: the record %q has %d bytes, and %d are possible", class.Invalid, r.GetName(), n, maxRecord)
	}
	return done(v.driver.PutRecord(wire.ToRecord(r)))
}

func (v *veneer) GetRecord(_ context.Context, r *api.GetRecordRequest) (*api.Record, error) {
	record, err := v.driver.Record(r.GetName())
	if err != nil {
		return nil, err
	}
	return wire.FromRecord(record), nil
}

func (v *veneer) DeleteRecord(_ context.Context, r *api.DeleteRecordRequest) (*api.Done, error) {
	return done(v.driver.DeleteRecord(r.GetName()))
}
