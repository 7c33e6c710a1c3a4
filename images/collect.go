package images

import (
	"context"
	"errors"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/snapshots"
)

// Collect removes what no image needs and nobody is working with: layers and
// blobs that interrupted imports and removals left, beginnings of blobs, and
// snapshots of operations that a crash ended. Layers that a container stands on
// stay. After it an interrupted import starts from the beginning.
func (s *Store) Collect(ctx context.Context) (Removed, error) {
	var done Removed
	needed, err := s.needs("")
	if err != nil {
		return done, err
	}
	if err := s.collectSnapshots(ctx, needed, &done); err != nil {
		return done, err
	}
	var loose []digest.Digest
	err = s.content.Walk(ctx, func(d digest.Digest, _ int64) error {
		if !needed.blobs[d] {
			loose = append(loose, d)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	if err := s.removeBlobs(ctx, needed, loose, &done); err != nil {
		return done, err
	}
	freed, err := s.content.Clean(func(d digest.Digest) (func(), bool) { return s.claimBeginning(ctx, d) })
	done.Bytes += freed
	if err == nil {
		err = ctx.Err()
	}
	return done, err
}

// claimBeginning locks a blob of which there is a beginning, unless an operation is at
// work with it.
func (s *Store) claimBeginning(ctx context.Context, d digest.Digest) (release func(), ok bool) {
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return nil, false
	}
	if s.pins.held(d.String()) {
		unlock()
		return nil, false
	}
	return unlock, true
}

// collectSnapshots removes leftovers and then, from the top down, layers that
// nothing stands on.
func (s *Store) collectSnapshots(ctx context.Context, needed *needs, done *Removed) error {
	parent := map[string]string{} // of loose layers
	children := map[string]int{}
	var leftovers []snapshots.Info
	err := s.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		children[info.Parent]++
		switch {
		case leftover(info.Key):
			leftovers = append(leftovers, info)
		case layerKey(info.Key) && info.Kind == snapshots.KindCommitted && !needed.layers[digest.Digest(info.Key)]:
			parent[info.Key] = info.Parent
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, info := range leftovers {
		gone, err := s.collectLeftover(ctx, info.Key)
		if err != nil {
			return err
		}
		if gone {
			children[info.Parent]--
		}
	}
	for again := true; again; {
		again = false
		for key, below := range parent {
			if children[key] > 0 {
				continue
			}
			delete(parent, key)
			gone, err := s.removeLayer(ctx, needed, digest.Digest(key))
			if errors.Is(err, ErrInUse) {
				continue // something has come to stand on it since
			}
			if err != nil {
				return err
			}
			if gone {
				children[below]--
				done.Layers = append(done.Layers, digest.Digest(key))
				again = true
			}
		}
	}
	return nil
}

// collectLeftover removes a snapshot of an operation unless it is going on.
func (s *Store) collectLeftover(ctx context.Context, key string) (bool, error) {
	chain := strings.TrimPrefix(key, importPrefix)
	unlock, err := s.layerLocks.Lock(ctx, chain)
	if err != nil {
		return false, err
	}
	defer unlock()
	if s.pins.held(chain) {
		return false, nil
	}
	return true, s.discard(ctx, key)
}
