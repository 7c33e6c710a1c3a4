package client

import (
	"context"
	"io"

	"github.com/veneerdm/veneer/metadata/dmthin"
	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
	"github.com/veneerdm/veneer/snapshots"
)

// Pool is Driver.Pool.
func (c *Client) Pool(ctx context.Context) (snapshots.PoolInfo, error) {
	p, err := c.api.Pool(ctx, &api.PoolRequest{})
	if err != nil {
		return snapshots.PoolInfo{}, err
	}
	return wire.ToPool(p), nil
}

// GrowPool is Driver.GrowPool.
func (c *Client) GrowPool(ctx context.Context, data, meta uint64) error {
	_, err := c.api.GrowPool(ctx, &api.GrowPoolRequest{Data: data, Metadata: meta})
	return err
}

// Check is Driver.Check.
func (c *Client) Check(ctx context.Context) (dmthin.Superblock, error) {
	s, err := c.api.Check(ctx, &api.CheckRequest{})
	if err != nil {
		return dmthin.Superblock{}, err
	}
	return wire.ToSuperblock(s), nil
}

// Drain is Driver.Drain.
func (c *Client) Drain(ctx context.Context) error {
	_, err := c.api.Drain(ctx, &api.DrainRequest{})
	return err
}

// Backup is Driver.Backup: it writes a consistent copy of the daemon's catalog to w. A
// daemon that cannot do so is class.NotSupported.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.Backup(ctx, &api.BackupRequest{})
	if err != nil {
		return err
	}
	return receive(stream, func(d *api.Data) error {
		_, err := w.Write(d.GetData())
		return err
	})
}
