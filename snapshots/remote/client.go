package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
)

// Client has the methods of a driver in another process. They are those of
// snapshots.Driver, which has their documentation.
type Client struct{ conn *grpc.ClientConn }

// maxMessage is the largest answer in bytes: a list of all snapshots is one.
const maxMessage = 256 << 20

// Dial makes a client of the daemon on a unix socket. It does not connect yet.
func Dial(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket is root's, and the daemon looks who calls
		grpc.WithDefaultCallOptions(grpc.CallContentSubtype(codecName), grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	return &Client{conn}, nil
}

// Close hangs up.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) call(ctx context.Context, r request) (*reply, error) {
	var a reply
	if err := c.conn.Invoke(ctx, method, &r, &a); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("ask the daemon to %s: %w", r.Verb, err)
	}
	if a.Error != "" {
		return nil, class.Wrap(errors.New(a.Error), class.ByWord(a.Class))
	}
	return &a, nil
}

func (c *Client) mount(ctx context.Context, verb, key, other string, opts []snapshots.Option) (snapshots.Mount, error) {
	labels, size := snapshots.Settings(opts...)
	a, err := c.call(ctx, request{Verb: verb, Key: key, Other: other, Labels: labels, Size: size})
	if err != nil {
		return snapshots.Mount{}, err
	}
	return a.Mount, nil
}

func (c *Client) do(ctx context.Context, r request) error {
	_, err := c.call(ctx, r)
	return err
}

// Root is Driver.Root: which store the daemon has.
func (c *Client) Root(ctx context.Context) (string, error) {
	a, err := c.call(ctx, request{Verb: "Root"})
	if err != nil || len(a.Keys) == 0 {
		return "", err
	}
	return a.Keys[0], nil
}

// Stat is Driver.Stat.
func (c *Client) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	a, err := c.call(ctx, request{Verb: "Stat", Key: key})
	if err != nil {
		return snapshots.Info{}, err
	}
	return a.Info, nil
}

// Prepare is Driver.Prepare.
func (c *Client) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error) {
	return c.mount(ctx, "Prepare", key, parent, opts)
}

// View is Driver.View.
func (c *Client) View(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error) {
	return c.mount(ctx, "View", key, parent, opts)
}

// Clone is Driver.Clone.
func (c *Client) Clone(ctx context.Context, key, original string, opts ...snapshots.Option) (snapshots.Mount, error) {
	return c.mount(ctx, "Clone", key, original, opts)
}

// Rollback is Driver.Rollback.
func (c *Client) Rollback(ctx context.Context, key, to string) (snapshots.Mount, error) {
	return c.mount(ctx, "Rollback", key, to, nil)
}

// Mounts is Driver.Mounts.
func (c *Client) Mounts(ctx context.Context, key string) (snapshots.Mount, error) {
	return c.mount(ctx, "Mounts", key, "", nil)
}

// Commit is Driver.Commit.
func (c *Client) Commit(ctx context.Context, name, key string, opts ...snapshots.Option) error {
	labels, size := snapshots.Settings(opts...)
	return c.do(ctx, request{Verb: "Commit", Key: key, Other: name, Labels: labels, Size: size})
}

// Remove is Driver.Remove.
func (c *Client) Remove(ctx context.Context, key string) error {
	return c.do(ctx, request{Verb: "Remove", Key: key})
}

// Resize is Driver.Resize.
func (c *Client) Resize(ctx context.Context, key string, bytes uint64) error {
	return c.do(ctx, request{Verb: "Resize", Key: key, Size: bytes})
}

// Usage is Driver.Usage.
func (c *Client) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	a, err := c.call(ctx, request{Verb: "Usage", Key: key})
	if err != nil {
		return snapshots.Usage{}, err
	}
	return a.Usage, nil
}

// Freed is Driver.Freed.
func (c *Client) Freed(ctx context.Context, keys ...string) (uint64, error) {
	a, err := c.call(ctx, request{Verb: "Freed", Keys: keys})
	if err != nil {
		return 0, err
	}
	return a.Number, nil
}

// Holders is Driver.Holders.
func (c *Client) Holders(ctx context.Context, key string) (int, error) {
	a, err := c.call(ctx, request{Verb: "Holders", Key: key})
	if err != nil {
		return 0, err
	}
	return int(a.Number), nil
}

// Children is Driver.Children.
func (c *Client) Children(ctx context.Context, key string) ([]string, error) {
	a, err := c.call(ctx, request{Verb: "Children", Key: key})
	if err != nil {
		return nil, err
	}
	return a.Keys, nil
}

// Walk is Driver.Walk. f is called in this process.
func (c *Client) Walk(ctx context.Context, f func(context.Context, snapshots.Info) error) error {
	a, err := c.call(ctx, request{Verb: "Walk"})
	if err != nil {
		return err
	}
	for _, i := range a.Infos {
		if err := f(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// Pool is Driver.Pool.
func (c *Client) Pool(ctx context.Context) (snapshots.PoolInfo, error) {
	a, err := c.call(ctx, request{Verb: "Pool"})
	if err != nil {
		return snapshots.PoolInfo{}, err
	}
	p := *a.Pool
	switch {
	case a.Working != nil:
		p.Status = *a.Working
	case a.Failed != nil:
		p.Status = *a.Failed
	}
	return p, nil
}

// GrowPool is Driver.GrowPool.
func (c *Client) GrowPool(ctx context.Context, data, meta uint64) error {
	return c.do(ctx, request{Verb: "GrowPool", Size: data, Meta: meta})
}

// Check is Driver.Check.
func (c *Client) Check(ctx context.Context) (dmthin.Superblock, error) {
	a, err := c.call(ctx, request{Verb: "Check"})
	if err != nil {
		return dmthin.Superblock{}, err
	}
	return a.Super, nil
}

// Drain is Driver.Drain.
func (c *Client) Drain(ctx context.Context) error { return c.do(ctx, request{Verb: "Drain"}) }

// recordPatience bounds calls that have no context of their own.
const recordPatience = time.Minute

func (c *Client) record(r request) (*reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), recordPatience)
	defer cancel()
	return c.call(ctx, r)
}

// PutRecord is Driver.PutRecord.
func (c *Client) PutRecord(r snapshots.Record) error {
	_, err := c.record(request{Verb: "PutRecord", Key: r.Name, Data: r.Data})
	return err
}

// Record is Driver.Record.
func (c *Client) Record(name string) (snapshots.Record, error) {
	a, err := c.record(request{Verb: "Record", Key: name})
	if err != nil || len(a.Records) == 0 {
		return snapshots.Record{}, err
	}
	return a.Records[0], nil
}

// Records is Driver.Records.
func (c *Client) Records() ([]snapshots.Record, error) {
	a, err := c.record(request{Verb: "Records"})
	if err != nil {
		return nil, err
	}
	return a.Records, nil
}

// DeleteRecord is Driver.DeleteRecord.
func (c *Client) DeleteRecord(name string) error {
	_, err := c.record(request{Verb: "DeleteRecord", Key: name})
	return err
}
