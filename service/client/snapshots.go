package client

import (
	"context"
	"maps"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
	"github.com/veneerdm/veneer/snapshots"
)

func mount(m *api.Mount, err error) (snapshots.Mount, error) {
	if err != nil {
		return snapshots.Mount{}, err
	}
	return wire.ToMount(m), nil
}

// Stat is Driver.Stat.
func (c *Client) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	s, err := c.api.Stat(ctx, &api.StatRequest{Key: key})
	if err != nil {
		return snapshots.Info{}, err
	}
	return wire.ToInfo(s), nil
}

// Prepare is Driver.Prepare.
func (c *Client) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error) {
	labels, size := snapshots.Settings(opts...)
	return mount(c.api.Prepare(ctx, &api.PrepareRequest{Key: key, Parent: parent, Labels: labels, Size: size}))
}

// View is Driver.View.
func (c *Client) View(ctx context.Context, key, parent string, opts ...snapshots.Option) (snapshots.Mount, error) {
	labels, size := snapshots.Settings(opts...)
	return mount(c.api.View(ctx, &api.ViewRequest{Key: key, Parent: parent, Labels: labels, Size: size}))
}

// Clone is Driver.Clone.
func (c *Client) Clone(ctx context.Context, key, original string, opts ...snapshots.Option) (snapshots.Mount, error) {
	labels, size := snapshots.Settings(opts...)
	return mount(c.api.Clone(ctx, &api.CloneRequest{Key: key, Original: original, Labels: labels, Size: size}))
}

// Rollback is Driver.Rollback.
func (c *Client) Rollback(ctx context.Context, key, to string) (snapshots.Mount, error) {
	return mount(c.api.Rollback(ctx, &api.RollbackRequest{Key: key, To: to}))
}

// Mounts is Driver.Mounts.
func (c *Client) Mounts(ctx context.Context, key string) (snapshots.Mount, error) {
	return mount(c.api.Mounts(ctx, &api.MountsRequest{Key: key}))
}

// Commit is Driver.Commit.
func (c *Client) Commit(ctx context.Context, name, key string, opts ...snapshots.Option) error {
	labels, size := snapshots.Settings(opts...)
	_, err := c.api.Commit(ctx, &api.CommitRequest{Name: name, Key: key, Labels: labels, Size: size})
	return err
}

// Remove is Driver.Remove.
func (c *Client) Remove(ctx context.Context, key string) error {
	_, err := c.api.Remove(ctx, &api.RemoveRequest{Key: key})
	return err
}

// Resize is Driver.Resize.
func (c *Client) Resize(ctx context.Context, key string, bytes uint64) error {
	_, err := c.api.Resize(ctx, &api.ResizeRequest{Key: key, Size: bytes})
	return err
}

// SetLabels is Driver.SetLabels. change is called in this process, and again when
// somebody else has changed the labels meanwhile.
func (c *Client) SetLabels(ctx context.Context, key string, change func(map[string]string) (map[string]string, error)) (snapshots.Info, error) {
	s, err := c.api.Stat(ctx, &api.StatRequest{Key: key})
	for err == nil {
		given := wire.ToInfo(s).Labels // change may keep it and write into it
		expected := maps.Clone(given)
		labels, err := change(given)
		if err != nil {
			return snapshots.Info{}, &snapshots.OpError{Op: "label", Key: key, Err: err}
		}
		r, err := c.api.SetLabels(ctx, &api.SetLabelsRequest{Key: key, Expected: expected, Labels: labels})
		if err != nil {
			return snapshots.Info{}, err
		}
		if !r.GetOutdated() {
			return wire.ToInfo(r.GetSnapshot()), nil
		}
		s = r.GetSnapshot()
	}
	return snapshots.Info{}, err
}

// Usage is Driver.Usage.
func (c *Client) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	u, err := c.api.Usage(ctx, &api.UsageRequest{Key: key})
	if err != nil {
		return snapshots.Usage{}, err
	}
	return wire.ToUsage(u), nil
}

// Freed is Driver.Freed.
func (c *Client) Freed(ctx context.Context, keys ...string) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.Freed(ctx)
	if err != nil {
		return 0, err
	}
	chunks := wire.Chunks[string]{Size: wire.Text, Send: func(k []string) error { return stream.Send(&api.Keys{Keys: k}) }}
	for _, key := range keys {
		if err = chunks.Add(key); err != nil {
			break
		}
	}
	if err == nil {
		err = chunks.Flush()
	}
	if err != nil && !isEnd(err) { // the daemon has ended the call otherwise, and says why
		return 0, err
	}
	r, err := stream.CloseAndRecv()
	if err != nil {
		return 0, err
	}
	return r.GetBytes(), nil
}

// Holders is Driver.Holders.
func (c *Client) Holders(ctx context.Context, key string) (int, error) {
	h, err := c.api.Holders(ctx, &api.HoldersRequest{Key: key})
	if err != nil {
		return 0, err
	}
	return int(h.GetHolders()), nil
}
