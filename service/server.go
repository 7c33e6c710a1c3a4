package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/service/internal/wire"
)

// MaxMessage is the largest message of the protocol in bytes, in either direction.
const MaxMessage = wire.MaxMessage

const (
	// finishFor is how long calls under way go on when the server is told to stop.
	finishFor = 10 * time.Second
	// undoFor is how long those that were ended then may take to undo what they had begun.
	undoFor = 15 * time.Second
)

// errStopping ends the calls that a stopping server cannot wait for.
var errStopping = fmt.Errorf("%w: the daemon is stopping; run the command again when it is back", class.Closed)

// Server answers calls on a socket, of the services that are registered on it.
type Server struct {
	grpc    *grpc.Server
	log     logrus.FieldLogger
	observe func(method string, took time.Duration, err error)
	calls   calls
	hurry   context.Context // ends when calls under way have to end
	end     context.CancelFunc
}

// NewServer makes a server. log hears of every call and of callers that are refused; nil
// is nobody. observe, if not nil, hears of every call when it has ended: the method's
// last word, how long it took and its error.
func NewServer(log logrus.FieldLogger, observe func(method string, took time.Duration, err error)) *Server {
	if log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		log = quiet
	}
	s := &Server{log: log, observe: observe}
	s.hurry, s.end = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(wire.MaxMessage), grpc.MaxSendMsgSize(wire.MaxMessage),
		grpc.WaitForHandlers(true), // whoever serves closes the driver afterwards
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream),
	)
	return s
}

// RegisterService adds a service to the socket, before Serve.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
}

// Serve answers on the listener until ctx ends. Then it takes no more calls, lets those
// under way go on for a while, ends the others, and returns when they have undone what
// they had begun. Only root's processes are answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		hurry := time.AfterFunc(finishFor, s.end)
		defer hurry.Stop()
		cut := time.AfterFunc(finishFor+undoFor, s.grpc.Stop)
		defer cut.Stop()
		s.grpc.GracefulStop()
	})
	defer stop()
	err := s.grpc.Serve(rootOnly{l, s.log})
	s.end()
	s.grpc.Stop() // waits for what is left, should the listener have failed
	if ctx.Err() != nil && (err == nil || errors.Is(err, grpc.ErrServerStopped)) {
		return nil
	}
	return err
}

func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (reply any, err error) {
	err = s.call(ctx, info.Server, info.FullMethod, func(ctx context.Context) (err error) {
		reply, err = next(ctx, request)
		return err
	})
	return reply, err
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return s.call(stream.Context(), srv, info.FullMethod, func(ctx context.Context) error {
		return next(srv, inContext{stream, ctx})
	})
}

// inContext is a stream whose context ends early.
type inContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s inContext) Context() context.Context { return s.ctx }

// call runs one call in a context that ends when its client goes or the server stops.
func (s *Server) call(ctx context.Context, srv any, method string, f func(context.Context) error) error {
	end := s.calls.begin(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.hurry, cancel)()
	began := time.Now()
	err := f(ctx)
	if err != nil && s.hurry.Err() != nil && errors.Is(err, context.Canceled) {
		err = errStopping
	}
	end(err)
	if _, ours := srv.(*veneer); ours {
		err = wire.ToStatus(err)
	}
	took := time.Since(began)
	method = path.Base(method)
	s.log.WithField("method", method).WithField("took", took).WithError(err).Debug("call")
	if s.observe != nil {
		s.observe(method, took, err)
	}
	return err
}
