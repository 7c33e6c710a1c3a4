package snapshots

import (
	"context"
	"errors"

	"github.com/veneerdm/veneer/metadata"
)

// Remove takes a snapshot away and frees its key. It answers as soon as that is
// recorded: the device goes when nobody holds it any more, its space comes back
// in the background. Errors: ErrNotFound, ErrInUse (children or views).
func (d *Driver) Remove(ctx context.Context, key string) error {
	end, err := d.begin(ctx)
	if err != nil {
		return failed("remove", key, err)
	}
	defer end()
	was, err := d.catalog.Get(key)
	s := was
	if err == nil {
		s, err = d.catalog.Remove(was)
	}
	if errors.Is(err, metadata.ErrInUse) {
		// What is in the way may be nothing that anybody can see.
		if some, _ := d.takeBackAll(); some {
			s, err = d.catalog.Remove(was)
		}
	}
	if err != nil {
		return failed("remove", key, err)
	}
	if s.OwnsThin() {
		d.reaper.wake()
	} else {
		d.reaper.unview(s.Thin, s.Parent)
	}
	return nil
}

// Drain waits until the background has given back all it can, or for ctx. What is
// held by somebody stays, and is not waited for. A driver that is closed meanwhile, or
// whose pool a DestroyPool has begun to destroy, answers so.
func (d *Driver) Drain(ctx context.Context) error {
	end, err := d.begin(ctx)
	if err != nil {
		return err
	}
	end() // Close does not wait for the reaper's work
	return d.reaper.drain(ctx)
}
