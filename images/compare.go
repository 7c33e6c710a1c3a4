package images

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/snapshots"
)

// Changes lists what a container - a writable snapshot - has changed of the image
// it stands on. The container may be mounted and at work: a clone is looked at.
func (s *Store) Changes(ctx context.Context, container string) ([]layer.Change, error) {
	info, err := s.snapshots.Stat(ctx, container)
	if err != nil {
		return nil, err
	}
	var changes []layer.Change
	err = s.compare(ctx, container, info.Parent, func(lower, upper Tree) error {
		changes, err = layer.Changes(ctx, lower, upper, s.diffOptions())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compare %q with its image: %w", container, err)
	}
	return changes, nil
}

// diffOptions: a container is a block snapshot of its parent.
func (s *Store) diffOptions() layer.DiffOptions {
	return layer.DiffOptions{SameFilesystem: true, Warn: s.warn}
}

// compare mounts a clone of the container and a view of its parent - for a
// container without one, an empty snapshot - and removes both afterwards.
func (s *Store) compare(ctx context.Context, container, parent string, fn func(lower, upper Tree) error) error {
	work := workPrefix + rand.Text()
	return s.mounted(ctx, work+"/"+upperSide, func(key string) (snapshots.Mount, error) {
		return s.snapshots.Clone(ctx, key, container)
	}, func(upper Tree) error {
		return s.mounted(ctx, work+"/"+lowerSide, func(key string) (snapshots.Mount, error) {
			if parent == "" {
				return s.snapshots.Prepare(ctx, key, "")
			}
			return s.snapshots.View(ctx, key, parent)
		}, func(lower Tree) error {
			return fn(lower, upper)
		})
	})
}

// mounted runs fn on a snapshot that lives no longer.
func (s *Store) mounted(ctx context.Context, key string, create func(string) (snapshots.Mount, error), fn func(Tree) error) (err error) {
	s.pins.add(key) // keeps Collect away
	defer s.pins.drop(key)
	m, err := create(key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.discard(ctx, key)) }()
	tree, err := s.mount(ctx, m)
	if err != nil {
		return err
	}
	return errors.Join(fn(tree), tree.Close())
}
