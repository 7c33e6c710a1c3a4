package service

import (
	"context"
	"os"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
)

// Config is what the service answers with. Driver must be given.
type Config struct {
	Driver  Driver
	Version string // of the program, for people
}

// veneer implements the protocol's service.
type veneer struct {
	api.UnimplementedVeneerServer
	driver  Driver
	version string
	calls   *calls
}

var _ api.VeneerServer = (*veneer)(nil)

// Register has a server answer the protocol, before it serves.
func Register(s *Server, c Config) {
	api.RegisterVeneerServer(s, newVeneer(c, &s.calls))
}

func newVeneer(c Config, calls *calls) *veneer {
	return &veneer{driver: c.Driver, version: c.Version, calls: calls}
}

// Handshake answers whatever the client speaks: it is the client that says in a
// sentence what does not fit.
func (v *veneer) Handshake(context.Context, *api.HandshakeRequest) (*api.HandshakeResponse, error) {
	return &api.HandshakeResponse{Api: wire.API, Version: v.version, Root: v.driver.Root(), Pid: int64(os.Getpid())}, nil
}

// AwaitEnd waits for another call to end.
func (v *veneer) AwaitEnd(ctx context.Context, r *api.AwaitEndRequest) (*api.AwaitEndResponse, error) {
	known, ended, err := v.calls.await(ctx, r.GetCall())
	if err != nil {
		return nil, err
	}
	return &api.AwaitEndResponse{Known: known, Error: wire.ToDetail(ended)}, nil
}
