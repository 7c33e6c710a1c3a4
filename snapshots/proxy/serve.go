package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/veneerdm/veneer/snapshots"
)

// maxMessage is the largest request in bytes, as containerd has it. A larger one is
// refused before it is read.
const maxMessage = 16 << 20

// stopPatience is how long a stopping server waits for calls under way.
const stopPatience = 10 * time.Second

// Server offers a driver on a socket: to containerd as a snapshotter, and to
// whatever else is registered.
type Server struct {
	grpc *grpc.Server
	log  logrus.FieldLogger
}

// NewServer makes a server of a driver. observe, if not nil, hears of every call
// when it has ended: the method's last word, how long it took and its error.
func NewServer(d *snapshots.Driver, log logrus.FieldLogger, observe func(method string, took time.Duration, err error)) *Server {
	watch := func(method string, began time.Time, err error) {
		took := time.Since(began)
		method = filepath.Base(method)
		log.WithField("method", method).WithField("took", took).WithError(err).Debug("call")
		if observe != nil {
			observe(method, took, err)
		}
	}
	s := &Server{log: log, grpc: grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, i *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			began := time.Now()
			reply, err := next(ctx, req)
			watch(i.FullMethod, began, err)
			return reply, err
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, i *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			began := time.Now()
			err := next(srv, stream)
			watch(i.FullMethod, began, err)
			return err
		}),
	)}
	snapshotsapi.RegisterSnapshotsServer(s.grpc, snapshotservice.FromSnapshotter(New(d)))
	return s
}

// RegisterService adds another service to the socket, before Serve.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
}

// Serve answers on the listener until ctx ends, and then lets calls under way
// finish for a while. Only root's processes are answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(stopPatience, s.grpc.Stop)
		defer timer.Stop()
		s.grpc.GracefulStop()
	})
	defer stop()
	err := s.grpc.Serve(rootOnly{l, s.log})
	if ctx.Err() != nil && (err == nil || errors.Is(err, grpc.ErrServerStopped)) {
		return nil
	}
	return err
}

// Listen makes the socket at path, for root alone, in a folder for root alone. A
// socket that a dead process left is replaced; one that is answered is not.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return nil, errors.Join(fmt.Errorf("%w: a process answers on %s", snapshots.ErrLocked, path), conn.Close())
	}
	// EAGAIN of unix(7) is one: the listener's queue is full.
	if busy := net.Error(nil); errors.As(err, &busy) && busy.Timeout() {
		return nil, fmt.Errorf("%w: a process listens on %s and is too busy to answer: %w", snapshots.ErrLocked, path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}
