package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
)

// chain measures the making of many layers on top of each other, and the mount of
// one more.
func (b *bench) chain(ctx context.Context) error {
	r := row{operation: fmt.Sprintf("chain of %d layers", b.layers), devmapperLimit: 0.1}
	for _, which := range []int{ours, devmapperSide} {
		took, err := b.oneChain(ctx, which)
		if err != nil {
			return fmt.Errorf("%s: %w", sideNames[which], err)
		}
		r.took[which] = samples{took}
	}
	b.table.add(r)
	return nil
}

func (b *bench) oneChain(ctx context.Context, which int) (took time.Duration, err error) {
	sides, closeAll, err := b.openSides(ctx, which)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	s := sides[0]
	began := time.Now()
	parent := ""
	for i := range b.layers {
		name := fmt.Sprintf("layer-%03d", i)
		if err := s.commitFiles(ctx, name, parent, 1); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		parent = name
	}
	mounts, err := s.Prepare(ctx, "top", parent)
	if err == nil {
		err = mount.All(mounts, s.target)
	}
	took = time.Since(began)
	if err != nil {
		return took, err
	}
	return took, errors.Join(mount.UnmountAll(s.target, 0), s.Remove(ctx, "top"))
}
