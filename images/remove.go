package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/veneerdm/veneer/snapshots"
)

// RemoveOptions change how Remove works.
type RemoveOptions struct {
	// Users, when set, names who uses an image beyond what snapshots show: a
	// container of it stands on a layer, and cannot say of which image if two share
	// the layer. Anybody named stops the removal.
	Users func(ctx context.Context, r Record) ([]string, error)
}

// Removed says what a removal took away.
type Removed struct {
	Layers []digest.Digest // ChainIDs, top first
	Blobs  []digest.Digest
	Bytes  int64 // of the blobs; the pool counts the layers'
}

// Remove forgets the image that Lookup finds, then removes the layers, top first,
// and the blobs that no other image has. An image some container stands on is
// ErrInUse, unless another image has all the layers concerned.
//
// The record goes first: after a crash the image is gone, and what is left of it
// is removed by Collect.
func (s *Store) Remove(ctx context.Context, ref string, opts RemoveOptions) (Removed, error) {
	r, err := s.Lookup(ref)
	if err != nil {
		return Removed{}, err
	}
	unlock, err := s.nameLocks.Lock(ctx, r.Name)
	if err != nil {
		return Removed{}, err
	}
	defer unlock()
	if r, err = s.catalog.image(r.Name); err != nil {
		return Removed{}, err
	}
	if opts.Users != nil {
		users, err := opts.Users(ctx, r)
		if err != nil {
			return Removed{}, err
		}
		if len(users) > 0 {
			return Removed{}, fmt.Errorf("image %s is used by %s, remove that first: %w", r.Name, users[0], ErrInUse)
		}
	}
	if err := s.unused(ctx, r); err != nil {
		return Removed{}, err
	}
	if err := s.catalog.remove(r.Name); err != nil {
		return Removed{}, err
	}
	return s.release(ctx, r)
}

// unused makes sure that nothing but the image stands on the layers that would go
// with it.
func (s *Store) unused(ctx context.Context, r Record) error {
	shared, err := s.usedLayers(r.Name)
	if err != nil {
		return err
	}
	going := map[string]bool{}
	for _, l := range r.Layers {
		if !shared[l.ChainID] {
			going[l.ChainID.String()] = true
		}
	}
	return s.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		// Other layers are no users: an import is making them, or left them.
		if going[info.Parent] && !layerKey(info.Key) && !leftover(info.Key) {
			return fmt.Errorf("image %s is used by %q, remove that first: %w", r.Name, info.Key, ErrInUse)
		}
		return nil
	})
}

// usedLayers is the set of ChainIDs that images other than the one called except
// consist of.
func (s *Store) usedLayers(except string) (map[digest.Digest]bool, error) {
	records, err := s.catalog.images()
	if err != nil {
		return nil, err
	}
	used := map[digest.Digest]bool{}
	for _, r := range records {
		if r.Name == except {
			continue
		}
		for _, l := range r.Layers {
			used[l.ChainID] = true
		}
	}
	return used, nil
}

// usedBlobs is the set of digests that images consist of.
func (s *Store) usedBlobs() (map[digest.Digest]bool, error) {
	records, err := s.catalog.images()
	if err != nil {
		return nil, err
	}
	used := map[digest.Digest]bool{}
	for _, r := range records {
		for _, d := range r.blobs() {
			used[d] = true
		}
	}
	return used, nil
}

// release removes what r has and no record does.
func (s *Store) release(ctx context.Context, r Record) (Removed, error) {
	var done Removed
	used, err := s.usedLayers("")
	if err != nil {
		return done, err
	}
	for _, l := range slices.Backward(r.Layers) {
		chain := l.ChainID
		if used[chain] {
			break // and with it all below
		}
		gone, err := s.removeLayer(ctx, chain)
		if errors.Is(err, ErrInUse) || err == nil && !gone {
			break // somebody has come to need it since; Collect will see to it
		}
		if err != nil {
			return done, err
		}
		done.Layers = append(done.Layers, chain)
	}
	usedBlobs, err := s.usedBlobs()
	if err != nil {
		return done, err
	}
	for _, d := range r.blobs() {
		if usedBlobs[d] {
			continue
		}
		size, err := s.removeBlob(ctx, d)
		if err != nil {
			return done, err
		}
		if size >= 0 {
			done.Blobs = append(done.Blobs, d)
			done.Bytes += size
		}
	}
	return done, nil
}

// removeLayer removes a layer's snapshot unless an import is at work with it. It
// says whether the snapshot is gone.
func (s *Store) removeLayer(ctx context.Context, chain digest.Digest) (bool, error) {
	unlock, err := s.layerLocks.Lock(ctx, chain.String())
	if err != nil {
		return false, err
	}
	defer unlock()
	if s.pins.held(chain.String()) {
		return false, nil
	}
	err = s.snapshots.Remove(ctx, chain.String())
	if err != nil && !errors.Is(err, snapshots.ErrNotFound) {
		return false, fmt.Errorf("remove layer %s: %w", chain, err)
	}
	return true, nil
}

// removeBlob removes a blob unless an import is at work with it, and gives its
// size; -1 when it stays or is not there.
func (s *Store) removeBlob(ctx context.Context, d digest.Digest) (int64, error) {
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return -1, err
	}
	defer unlock()
	if s.pins.held(d.String()) {
		return -1, nil
	}
	size, err := s.content.Stat(d)
	if errors.Is(err, ErrNotFound) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	return size, s.content.Delete(d)
}

// Collect removes what no image needs and nobody is working with: layers and
// blobs that interrupted imports and removals left, beginnings of blobs, and
// snapshots of operations that a crash ended. Layers that a container stands on
// stay. After it an interrupted import starts from the beginning.
func (s *Store) Collect(ctx context.Context) (Removed, error) {
	var done Removed
	if err := s.collectSnapshots(ctx, &done); err != nil {
		return done, err
	}
	used, err := s.usedBlobs()
	if err != nil {
		return done, err
	}
	var loose []digest.Digest
	err = s.content.Walk(ctx, func(d digest.Digest, _ int64) error {
		if !used[d] {
			loose = append(loose, d)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	for _, d := range loose {
		size, err := s.removeBlob(ctx, d)
		if err != nil {
			return done, err
		}
		if size >= 0 {
			done.Blobs = append(done.Blobs, d)
			done.Bytes += size
		}
	}
	freed, err := s.content.Clean(func(d digest.Digest) bool { return s.pins.held(d.String()) })
	done.Bytes += freed
	return done, err
}

// collectSnapshots removes leftovers and then, from the top down, layers that
// nothing stands on.
func (s *Store) collectSnapshots(ctx context.Context, done *Removed) error {
	used, err := s.usedLayers("")
	if err != nil {
		return err
	}
	parent := map[string]string{} // of loose layers
	children := map[string]int{}
	var leftovers []snapshots.Info
	err = s.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		children[info.Parent]++
		switch {
		case leftover(info.Key):
			leftovers = append(leftovers, info)
		case layerKey(info.Key) && info.Kind == snapshots.KindCommitted && !used[digest.Digest(info.Key)]:
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
			gone, err := s.removeLayer(ctx, digest.Digest(key))
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
