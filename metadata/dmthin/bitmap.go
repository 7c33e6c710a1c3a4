package dmthin

import "math/bits"

// bitmap is a sparse set of data blocks: pages of 4096 bits where there is any.
// Neighbours are mostly asked for one after the other, so the last page is kept at
// hand.
type bitmap struct {
	pages map[DataBlocks]*page
	last  DataBlocks
	at    *page
}

type page [64]uint64

func newBitmap() *bitmap { return &bitmap{pages: map[DataBlocks]*page{}} }

// add puts b into the set and reports whether it was there.
func (s *bitmap) add(b DataBlocks) (was bool) {
	if n := b >> 12; s.at == nil || s.last != n {
		p := s.pages[n]
		if p == nil {
			p = new(page)
			s.pages[n] = p
		}
		s.at, s.last = p, n
	}
	word, bit := &s.at[int(b>>6)&63], uint64(1)<<(b&63)
	was = *word&bit != 0
	*word |= bit
	return was
}

// countWithout is how many members s has that t has not.
func (s *bitmap) countWithout(t *bitmap) (n DataBlocks) {
	for at, p := range s.pages {
		q := t.pages[at]
		for i, w := range p {
			if q != nil {
				w &^= q[i]
			}
			n += DataBlocks(bits.OnesCount64(w))
		}
	}
	return n
}
