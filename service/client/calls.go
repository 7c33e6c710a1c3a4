package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
)

// named gives a call a name, by which the daemon is asked whether it has ended.
func named(ctx context.Context) (context.Context, string) {
	name := rand.Text()
	return metadata.AppendToOutgoingContext(ctx, wire.CallHeader, name), name
}

// ended turns an error of a call into what the method returns. When the caller's context
// has ended it waits for the daemon, which undoes what the call had begun.
func (c *Client) ended(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() == nil {
		return c.failed(ctx, err)
	}
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), Patience)
	defer cancel()
	var reply api.AwaitEndResponse
	if waitErr := c.conn.Invoke(ask, api.Veneer_AwaitEnd_FullMethodName, &api.AwaitEndRequest{Call: name}, &reply, direct{}); waitErr != nil && ask.Err() != nil {
		return fmt.Errorf("%w; the daemon (process %d) is still undoing what it had begun", ctx.Err(), c.daemon.PID)
	}
	if err := wire.FromDetail(reply.GetError()); err != nil {
		return err // it says what could not be undone, if anything
	}
	return ctx.Err()
}

// direct marks a call that is not waited for when its context ends.
type direct struct{ grpc.EmptyCallOption }

func isDirect(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(direct); ok {
			return true
		}
	}
	return false
}

func (c *Client) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if m, ok := request.(proto.Message); ok {
		if err := wire.Fits(m); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if isDirect(opts) {
		if err := call(ctx, method, request, reply, conn, opts...); err != nil {
			return c.failed(ctx, err)
		}
		return nil
	}
	inner, name := named(ctx)
	return c.ended(ctx, name, call(inner, method, request, reply, conn, opts...))
}

func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inner, name := named(ctx)
	s, err := open(inner, desc, conn, method, opts...)
	if err != nil {
		return nil, c.ended(ctx, name, err)
	}
	return &checkedStream{ClientStream: s, ctx: ctx, client: c, name: name}, nil
}

// checkedStream has the errors of the client's methods.
type checkedStream struct {
	grpc.ClientStream
	ctx    context.Context
	client *Client
	name   string
}

func (s *checkedStream) SendMsg(m any) error {
	if p, ok := m.(proto.Message); ok {
		if err := wire.Fits(p); err != nil {
			return err
		}
	}
	err := s.ClientStream.SendMsg(m)
	if errors.Is(err, io.EOF) { // RecvMsg says why
		return io.EOF
	}
	return s.client.ended(s.ctx, s.name, err)
}

func (s *checkedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return s.client.ended(s.ctx, s.name, err)
}

// isEnd says that the daemon has ended a call, and that receiving tells why.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// receive calls f with each message of a stream, until it ends or f has an error.
func receive[M any](stream grpc.ServerStreamingClient[M], f func(*M) error) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
	}
}
