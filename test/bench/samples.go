package main

import (
	"context"
	"slices"
	"time"
)

// side is one of the things that are measured in turn. Only run is measured;
// before makes what it needs and after takes it away.
type side struct {
	before, run, after func() error
}

// samples are the times of one side, and what one run of it typically did.
type samples struct {
	times []time.Duration
	tally tally
}

// median is the middle of the times, or the mean of the two in the middle.
func (s samples) median() time.Duration {
	t := slices.Sorted(slices.Values(s.times))
	n := len(t)
	if n == 0 {
		return 0
	}
	return (t[(n-1)/2] + t[n/2]) / 2
}

// interleave measures all sides n times in turn. Each begins as often as the
// others: whoever comes second meets what the first one left in caches.
func (b *bench) interleave(ctx context.Context, n int, sides ...side) ([]samples, error) {
	all := make([]samples, len(sides))
	for i := range n + 1 {
		for j := range sides {
			k := (i + j) % len(sides)
			took, did, err := b.once(ctx, sides[k])
			if err != nil {
				return nil, err
			}
			if i > 0 { // the first time fills caches
				all[k].times = append(all[k].times, took)
				all[k].tally = did
			}
		}
	}
	return all, nil
}

func (b *bench) once(ctx context.Context, s side) (took time.Duration, did tally, err error) {
	if err := ctx.Err(); err != nil {
		return 0, did, err
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return 0, did, err
		}
	}
	counted := b.counter.tally()
	start := time.Now()
	err = s.run()
	took = time.Since(start)
	did = b.counter.tally().less(counted)
	if err == nil && s.after != nil {
		err = s.after()
	}
	return took, did, err
}
