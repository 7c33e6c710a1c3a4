package client

import (
	"context"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
	"github.com/veneerdm/veneer/snapshots"
)

// Walk is Driver.Walk. f is called in this process, and may use the client.
func (c *Client) Walk(ctx context.Context, f func(context.Context, snapshots.Info) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.Walk(inner, &api.WalkRequest{})
	if err != nil {
		return err
	}
	return receive(stream, func(m *api.Snapshots) error {
		for _, s := range m.GetSnapshots() {
			if err := f(ctx, wire.ToInfo(s)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Children is Driver.Children.
func (c *Client) Children(ctx context.Context, key string) (keys []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.Children(ctx, &api.ChildrenRequest{Key: key})
	if err != nil {
		return nil, err
	}
	err = receive(stream, func(m *api.Keys) error {
		keys = append(keys, m.GetKeys()...)
		return nil
	})
	return keys, err
}
