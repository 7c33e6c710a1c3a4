package remote

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// codecName is the content subtype of the messages.
const codecName = "veneer-json"

const method = "/veneer.v1.Driver/Call"

type codec struct{}

func (codec) Name() string                       { return codecName }
func (codec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (codec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

func init() { encoding.RegisterCodec(codec{}) } // gRPC finds codecs by name alone

// request is one call: a verb and its arguments, of which each verb uses some.
type request struct {
	Verb   string            `json:"verb"`
	Key    string            `json:"key,omitempty"`
	Other  string            `json:"other,omitempty"` // parent, name or original
	Keys   []string          `json:"keys,omitempty"`
	Size   uint64            `json:"size,omitempty"`
	Meta   uint64            `json:"meta,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Data   []byte            `json:"data,omitempty"`
}

// reply is the answer, or an error with its class.
type reply struct {
	Mount   snapshots.Mount     `json:"mount,omitzero"`
	Info    snapshots.Info      `json:"info,omitzero"`
	Infos   []snapshots.Info    `json:"infos,omitempty"`
	Usage   snapshots.Usage     `json:"usage,omitzero"`
	Number  uint64              `json:"number,omitempty"`
	Keys    []string            `json:"keys,omitempty"`
	Records []snapshots.Record  `json:"records,omitempty"`
	Super   dmthin.Superblock   `json:"super,omitzero"`
	Pool    *snapshots.PoolInfo `json:"pool,omitempty"`
	Working *thinpool.Working   `json:"working,omitempty"` // the pool's status, one of the two
	Failed  *thinpool.Failed    `json:"failed,omitempty"`
	Error   string              `json:"error,omitempty"`
	Class   string              `json:"class,omitempty"`
}

// Service describes the driver's service for a gRPC server. Its implementation is
// the driver itself.
func Service() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "veneer.v1.Driver",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Call",
			Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
				var r request
				if err := decode(&r); err != nil {
					return nil, err
				}
				call := func(ctx context.Context, _ any) (any, error) {
					answer, err := answer(ctx, srv.(*snapshots.Driver), r)
					if err != nil {
						return &reply{Error: err.Error(), Class: word(err)}, nil
					}
					return answer, nil
				}
				if intercept == nil {
					return call(ctx, &r)
				}
				return intercept(ctx, &r, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/veneer.v1.Driver/" + r.Verb}, call)
			},
		}},
	}
}

func options(r request) []snapshots.Option {
	return []snapshots.Option{snapshots.WithLabels(r.Labels), snapshots.WithSize(r.Size)}
}

func answer(ctx context.Context, d *snapshots.Driver, r request) (a *reply, err error) {
	a = &reply{}
	switch r.Verb {
	case "Root":
		a.Keys = []string{d.Root()}
	case "Stat":
		a.Info, err = d.Stat(ctx, r.Key)
	case "Prepare":
		a.Mount, err = d.Prepare(ctx, r.Key, r.Other, options(r)...)
	case "View":
		a.Mount, err = d.View(ctx, r.Key, r.Other, options(r)...)
	case "Clone":
		a.Mount, err = d.Clone(ctx, r.Key, r.Other, options(r)...)
	case "Rollback":
		a.Mount, err = d.Rollback(ctx, r.Key, r.Other)
	case "Mounts":
		a.Mount, err = d.Mounts(ctx, r.Key)
	case "Commit":
		err = d.Commit(ctx, r.Other, r.Key, options(r)...)
	case "Remove":
		err = d.Remove(ctx, r.Key)
	case "Resize":
		err = d.Resize(ctx, r.Key, r.Size)
	case "Usage":
		a.Usage, err = d.Usage(ctx, r.Key)
	case "Freed":
		a.Number, err = d.Freed(ctx, r.Keys...)
	case "Holders":
		var n int
		n, err = d.Holders(ctx, r.Key)
		a.Number = uint64(n)
	case "Children":
		a.Keys, err = d.Children(ctx, r.Key)
	case "Walk":
		err = d.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			a.Infos = append(a.Infos, i)
			return nil
		})
	case "Pool":
		var p snapshots.PoolInfo
		p, err = d.Pool(ctx)
		a.pool(p)
	case "GrowPool":
		err = d.GrowPool(ctx, r.Size, r.Meta)
	case "Check":
		a.Super, err = d.Check(ctx)
	case "Drain":
		err = d.Drain(ctx)
	case "PutRecord":
		err = d.PutRecord(snapshots.Record{Name: r.Key, Data: r.Data})
	case "Record":
		var one snapshots.Record
		one, err = d.Record(r.Key)
		a.Records = []snapshots.Record{one}
	case "Records":
		a.Records, err = d.Records()
	case "DeleteRecord":
		err = d.DeleteRecord(r.Key)
	default:
		err = fmt.Errorf("%w: the daemon does not know %q; is it of another version?", snapshots.ErrInvalid, r.Verb)
	}
	return a, err
}

// pool takes the status out of its interface, which JSON could not read back.
func (a *reply) pool(p snapshots.PoolInfo) {
	switch s := p.Status.(type) {
	case thinpool.Working:
		a.Working = &s
	case thinpool.Failed:
		a.Failed = &s
	}
	p.Status = nil
	a.Pool = &p
}

// word is what stands for an error's class on the wire.
func word(err error) string {
	if c := class.Of(err); c != nil {
		return c.Word()
	}
	return ""
}
