package images

import (
	digest "github.com/opencontainers/go-digest"
)

// needs is what the records of images need.
type needs struct {
	layers map[digest.Digest]bool // ChainIDs
	blobs  map[digest.Digest]bool
	drops  uint64 // of pins, before the records were read
}

// needs reads what images need, but for the one called except.
func (s *Store) needs(except string) (*needs, error) {
	n := &needs{layers: map[digest.Digest]bool{}, blobs: map[digest.Digest]bool{}, drops: s.pins.drops()}
	records, err := s.catalog.images()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.Name == except {
			continue
		}
		for _, l := range r.Layers {
			n.layers[l.ChainID] = true
		}
		for _, d := range r.blobs() {
			n.blobs[d] = true
		}
	}
	return n, nil
}

// renew reads the records again if an operation has ended since: it may have recorded an
// image. Whoever holds the lock of a layer or blob that nobody has pinned knows then
// whether somebody needs it.
func (s *Store) renew(n *needs) error {
	if s.pins.drops() == n.drops {
		return nil
	}
	now, err := s.needs("")
	if err == nil {
		*n = *now
	}
	return err
}
