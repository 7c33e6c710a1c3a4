package images

import (
	"context"
	"errors"
	"slices"

	digest "github.com/opencontainers/go-digest"
)

// permanent says that an import would fail again however often it is tried. What
// comes over a network may be whole the next time.
func permanent(err error, remote bool) bool {
	if errors.Is(err, ErrHostile) || errors.Is(err, ErrMalformed) || errors.Is(err, ErrNoPlatform) {
		return true
	}
	return !remote && (errors.Is(err, ErrTruncated) || errors.Is(err, ErrDigestMismatch) || errors.Is(err, ErrTooLarge))
}

// abandon removes what an import with a permanent error has brought, by the digests of its blobs
// and the ChainIDs of its layers, bottom first. What others need stays.
func (s *Store) abandon(ctx context.Context, keys []string) error {
	layers, err := s.usedLayers("")
	if err != nil {
		return err
	}
	blobs, err := s.usedBlobs()
	if err != nil {
		return err
	}
	for _, key := range slices.Backward(keys) {
		d := digest.Digest(key)
		if !layers[d] {
			if _, err := s.removeLayer(ctx, d); err != nil && !errors.Is(err, ErrInUse) {
				return err
			}
		}
		if !blobs[d] {
			if err := s.abandonBlob(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandonBlob removes a blob, or the beginning of one, unless an import is at work
// with it.
func (s *Store) abandonBlob(ctx context.Context, d digest.Digest) error {
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return err
	}
	defer unlock()
	if s.pins.held(d.String()) || d.Validate() != nil {
		return nil
	}
	return s.content.Delete(d)
}
