package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/veneerdm/veneer/class"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
)

// Patience is how long a method whose context has ended waits for the daemon to undo
// what it had begun.
const Patience = 10 * time.Second

// handshakeFor is how long the daemon may take to say who it is.
const handshakeFor = 30 * time.Second

// Client has the methods of a driver in another process. They are those of
// snapshots.Driver, which has their documentation.
type Client struct {
	conn    *grpc.ClientConn
	api     api.VeneerClient
	address string
	daemon  Daemon
}

// Daemon says who answers.
type Daemon struct {
	Root    string // folder of its store
	PID     int
	Version string // of its program
}

// Dial connects to the daemon on a unix socket. version is that of this program, for
// people. A daemon that speaks another version of the protocol is class.Version.
func Dial(ctx context.Context, socket, version string) (*Client, error) {
	c := &Client{address: socket}
	var err error
	c.conn, err = grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket is root's, and the daemon looks who calls
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage), grpc.MaxCallSendMsgSize(wire.MaxMessage)),
		grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream))
	if err != nil {
		return nil, err
	}
	c.api = api.NewVeneerClient(c.conn)
	if err := c.handshake(ctx, version); err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

func (c *Client) handshake(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeFor)
	defer cancel()
	h, err := c.api.Handshake(ctx, &api.HandshakeRequest{Api: wire.API, Version: version}, direct{})
	if errors.Is(err, errUnknownMethod) {
		return class.Wrap(fmt.Errorf("what answers on %s does not speak version %d of the protocol, as this program (%s) does; "+
			"restart the daemon, so that both are of one version", c.address, wire.API, version), class.Version)
	}
	if err != nil {
		return err
	}
	if h.GetApi() != wire.API {
		return class.Wrap(fmt.Errorf("the daemon on %s (process %d, %s) speaks version %d of the protocol, and this program (%s) version %d; "+
			"restart the daemon, so that both are of one version", c.address, h.GetPid(), h.GetVersion(), h.GetApi(), version, wire.API), class.Version)
	}
	c.daemon = Daemon{Root: h.GetRoot(), PID: int(h.GetPid()), Version: h.GetVersion()}
	return nil
}

// Daemon says who answers, as it said when Dial asked.
func (c *Client) Daemon() Daemon { return c.daemon }

// Root is Driver.Root: the folder of the daemon's store.
func (c *Client) Root() string { return c.daemon.Root }

// Close hangs up. Calls under way end.
func (c *Client) Close() error { return c.conn.Close() }

// errUnknownMethod: the daemon has no such method.
var errUnknownMethod = class.Wrap(errors.New("the daemon does not know this call"), class.NotSupported)

// failed says in a sentence why a call got no answer of the daemon's.
func (c *Client) failed(ctx context.Context, err error) error {
	if ours, answer := wire.FromStatus(err); ours {
		return answer
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch status.Code(err) {
	case codes.Unimplemented:
		return fmt.Errorf("%w; the one on %s is of version %q: restart it, so that both are of one version", errUnknownMethod, c.address, c.daemon.Version)
	case codes.Unavailable:
		return fmt.Errorf("the daemon on %s does not answer, or has gone in the middle of a call; look what it did before you do that again: %w", c.address, err)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: a message to or from the daemon is larger than %d bytes: %w", class.Invalid, wire.MaxMessage, err)
	}
	return fmt.Errorf("the daemon on %s: %w", c.address, err)
}
