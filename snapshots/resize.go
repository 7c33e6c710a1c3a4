package snapshots

import (
	"context"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
)

// Resize grows an active snapshot and its filesystem to so many bytes, rounded up
// to whole data blocks, while it is mounted and used. A smaller size is ErrInvalid.
// After an error it may be repeated.
func (d *Driver) Resize(ctx context.Context, key string, bytes uint64) error {
	return failed("resize", key, d.resize(ctx, key, bytes))
}

func (d *Driver) resize(ctx context.Context, key string, bytes uint64) error {
	end, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := possibleSize(bytes); err != nil {
		return err
	}
	s, unlock, err := d.hold(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if s.Kind != metadata.Active {
		return fmt.Errorf("%w: it is %s and not active", ErrInvalid, s.Kind)
	}
	if err := notLost(s); err != nil {
		return err
	}
	size := d.pool.RoundUp(bytes)
	if size < s.Size {
		return fmt.Errorf("%w: it has %d bytes and would shrink to %d", ErrInvalid, s.Size, size)
	}
	// The record first: a device larger than its filesystem mounts, a filesystem
	// larger than its device does not.
	s, err = d.catalog.Update(s, func(s *metadata.Snapshot) error {
		s.Size = max(s.Size, size)
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := d.pool.ActivateThin(s.Thin, s.Size, devmapper.ReadWrite); err != nil {
		return err
	}
	if err := d.pool.ResizeThin(s.Thin, s.Size); err != nil {
		return err
	}
	return d.host.Grow(ctx, d.mount(s))
}
