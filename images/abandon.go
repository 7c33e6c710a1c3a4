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
	needed, err := s.needs("")
	if err != nil {
		return err
	}
	for _, key := range slices.Backward(keys) {
		d := digest.Digest(key)
		if _, err := s.removeLayer(ctx, needed, d); err != nil && !errors.Is(err, ErrInUse) {
			return err
		}
		if err := s.abandonBlob(ctx, needed, d); err != nil {
			return err
		}
	}
	return nil
}

// abandonBlob removes a blob, or the beginning of one, unless an image needs it or an
// operation is at work with it.
func (s *Store) abandonBlob(ctx context.Context, needed *needs, d digest.Digest) error {
	if needed.blobs[d] {
		return nil
	}
	unlock, err := s.blobLocks.Lock(ctx, d.String())
	if err != nil {
		return err
	}
	defer unlock()
	if s.pins.held(d.String()) || d.Validate() != nil {
		return nil
	}
	if err := s.renew(needed); err != nil || needed.blobs[d] {
		return err
	}
	return s.content.Delete(d)
}
