package images

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	others, err := s.needs(r.Name)
	if err != nil {
		return err
	}
	going := map[string]bool{}
	for _, l := range r.Layers {
		if !others.layers[l.ChainID] {
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

// release removes what r has and no record does.
func (s *Store) release(ctx context.Context, r Record) (Removed, error) {
	var done Removed
	needed, err := s.needs("")
	if err != nil {
		return done, err
	}
	for _, l := range slices.Backward(r.Layers) {
		chain := l.ChainID
		gone, err := s.removeLayer(ctx, needed, chain)
		if errors.Is(err, ErrInUse) || err == nil && !gone {
			break // it is needed, and with it all below
		}
		if err != nil {
			return done, err
		}
		done.Layers = append(done.Layers, chain)
	}
	err = s.removeBlobs(ctx, needed, r.blobs(), &done)
	return done, err
}

// removeBlobs removes those blobs that nobody needs, and adds them to what was removed.
func (s *Store) removeBlobs(ctx context.Context, needed *needs, blobs []digest.Digest, done *Removed) error {
	for _, d := range blobs {
		size, err := s.removeBlob(ctx, needed, d)
		if err != nil {
			return err
		}
		if size >= 0 {
			done.Blobs = append(done.Blobs, d)
			done.Bytes += size
		}
	}
	return nil
}

// removeLayer removes a layer's snapshot unless an image needs it or an operation is at
// work with it. It says whether the snapshot is gone.
func (s *Store) removeLayer(ctx context.Context, needed *needs, chain digest.Digest) (bool, error) {
	if needed.layers[chain] {
		return false, nil
	}
	unlock, err := s.layerLocks.Lock(ctx, chain.String())
	if err != nil {
		return false, err
	}
	defer unlock()
	if s.pins.held(chain.String()) {
		return false, nil
	}
	if err := s.renew(needed); err != nil || needed.layers[chain] {
		return false, err
	}
	err = s.snapshots.Remove(ctx, chain.String())
	if err != nil && !errors.Is(err, snapshots.ErrNotFound) {
		return false, fmt.Errorf("remove layer %s: %w", chain, err)
	}
	return true, nil
}

// removeBlob removes a blob unless an image needs it or an operation is at work with it,
// and gives its size; -1 when it stays or is not there.
func (s *Store) removeBlob(ctx context.Context, needed *needs, d digest.Digest) (int64, error) {
	if needed.blobs[d] {
		return -1, nil
	}
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return -1, err
	}
	defer unlock()
	if s.pins.held(d.String()) {
		return -1, nil
	}
	if err := s.renew(needed); err != nil || needed.blobs[d] {
		return -1, err
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
