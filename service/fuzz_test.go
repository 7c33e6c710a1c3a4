package service

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/waittest"
)

// pieces is a stream whose client has sent one message and reads whatever comes.
type pieces struct {
	grpc.ServerStream
	ctx  context.Context
	raw  []byte
	read bool
}

func (p *pieces) Context() context.Context     { return p.ctx }
func (p *pieces) SendHeader(metadata.MD) error { return nil }

func (p *pieces) SendMsg(m any) error {
	_, err := proto.Marshal(m.(proto.Message))
	return err
}

func (p *pieces) RecvMsg(m any) error {
	if p.read {
		return io.EOF
	}
	p.read = true
	return proto.Unmarshal(p.raw, m.(proto.Message))
}

// call has the service answer method number n, a stream or not.
func call(ctx context.Context, v *veneer, n byte, raw []byte) error {
	d := api.Veneer_ServiceDesc
	i := int(n) % (len(d.Methods) + len(d.Streams))
	if i >= len(d.Methods) {
		return d.Streams[i-len(d.Methods)].Handler(v, &pieces{ctx: ctx, raw: raw})
	}
	reply, err := d.Methods[i].Handler(v, ctx, func(m any) error { return proto.Unmarshal(raw, m.(proto.Message)) }, nil)
	if err == nil {
		_, err = proto.Marshal(reply.(proto.Message))
	}
	return err
}

// methodNumber is the number by which call knows a method.
func methodNumber(tb testing.TB, name string) byte {
	tb.Helper()
	for i, m := range api.Veneer_ServiceDesc.Methods {
		if m.MethodName == name {
			return byte(i)
		}
	}
	for i, s := range api.Veneer_ServiceDesc.Streams {
		if s.StreamName == name {
			return byte(len(api.Veneer_ServiceDesc.Methods) + i)
		}
	}
	require.Fail(tb, "no method is called "+name)
	return 0
}

// Whatever a client sends: an answer or an error, the store whole, and no panic.
func FuzzRequests(f *testing.F) {
	seed := func(method string, m proto.Message) {
		raw, err := proto.Marshal(m)
		require.NoError(f, err)
		remove, err := proto.Marshal(&api.RemoveRequest{Key: "b"})
		require.NoError(f, err)
		f.Add(methodNumber(f, method), raw, methodNumber(f, "Remove"), remove)
	}
	labels := map[string]string{"x": "y"}
	seed("Prepare", &api.PrepareRequest{Key: "a"})
	seed("Prepare", &api.PrepareRequest{Key: "b", Parent: "base", Size: 128 << 20, Labels: labels})
	seed("View", &api.ViewRequest{Key: "v", Parent: "base"})
	seed("Clone", &api.CloneRequest{Key: "c", Original: "active"})
	seed("Rollback", &api.RollbackRequest{Key: "active"})
	seed("Commit", &api.CommitRequest{Key: "active", Name: "done"})
	seed("Remove", &api.RemoveRequest{Key: "active"})
	seed("Resize", &api.ResizeRequest{Key: "active", Size: 1<<64 - 1})
	seed("SetLabels", &api.SetLabelsRequest{Key: "active", Labels: labels})
	seed("GrowPool", &api.GrowPoolRequest{Data: 1<<64 - 1, Metadata: 1<<64 - 1})
	seed("Freed", &api.Keys{Keys: []string{"base", "active"}})
	seed("Walk", &api.WalkRequest{})
	seed("Children", &api.ChildrenRequest{Key: "base"})
	seed("PutRecord", &api.Record{Name: "r", Data: []byte("{}")})
	seed("GetRecord", &api.GetRecordRequest{})
	seed("ListRecords", &api.ListRecordsRequest{})
	seed("Check", &api.CheckRequest{})
	seed("Pool", &api.PoolRequest{})
	seed("Backup", &api.BackupRequest{})
	seed("AwaitEnd", &api.AwaitEndRequest{Call: "x"})
	f.Add(byte(0), []byte("\xff"), byte(255), []byte("\x0a\x02\xff\xfe"))
	f.Fuzz(func(t *testing.T, method byte, first []byte, other byte, second []byte) {
		m := snapstest.NewFake(t)
		ctx, cancel := context.WithTimeout(t.Context(), waittest.Hang)
		defer cancel()
		config := m.Config()
		d, err := snapshots.CreatePool(ctx, config, m.Options())
		require.NoError(t, err)
		_, err = d.Prepare(ctx, "work", "")
		require.NoError(t, err)
		require.NoError(t, d.Commit(ctx, "base", "work"))
		_, err = d.Prepare(ctx, "active", "base")
		require.NoError(t, err)
		v := newVeneer(Config{Driver: d}, &calls{})
		for _, c := range []struct {
			method byte
			raw    []byte
		}{{method, first}, {other, second}} {
			if err := call(ctx, v, c.method, c.raw); err == nil {
				require.NoError(t, ctx.Err(), "it took too long")
			}
		}
		_, err = d.Check(ctx)
		require.NoError(t, err)
		require.NoError(t, d.DestroyPool(ctx))
	})
}
