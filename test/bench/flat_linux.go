package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// few is the pool that one with many snapshots is compared with.
const few = 10

// flat compares the verbs in a pool with few snapshots and in one with many, and
// measures a start with many.
func (b *bench) flat(ctx context.Context) (err error) {
	small, err := b.newStore(ctx, "few")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.destroy()) }()
	large, err := b.newStore(ctx, "many")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, large.destroy()) }()
	began := time.Now()
	if err := errors.Join(small.fill(ctx, few), large.fill(ctx, b.many)); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: made %d snapshots in %s\n", b.many, time.Since(began).Round(time.Second))
	for _, verb := range []struct {
		name string
		side func(*store, context.Context) side
	}{
		{"prepare", (*store).prepared}, {"commit", (*store).committed}, {"remove", (*store).removed}, {"view", (*store).viewed},
	} {
		all, err := b.interleave(ctx, b.n, verb.side(small, ctx), verb.side(large, ctx))
		if err != nil {
			return fmt.Errorf("%s: %w", verb.name, err)
		}
		b.add(against(fmt.Sprintf("%s, %d snapshots", verb.name, b.many), fmt.Sprintf("ours, %d snapshots", few), all[0], all[1], 1.2))
	}
	all, err := b.interleave(ctx, b.n, small.barePrepared(), large.barePrepared())
	if err != nil {
		return fmt.Errorf("bare prepare: %w", err)
	}
	b.add(against(fmt.Sprintf("its ioctls alone, %d snapshots", b.many), fmt.Sprintf("bare, %d snapshots", few), all[0], all[1], 0))
	return b.starts(ctx, small, large)
}

// starts measures how long a program that starts waits for its store, and how long
// it does after a reboot.
func (b *bench) starts(ctx context.Context, small, large *store) error {
	restart := func(s *store) side {
		return side{
			before: func() error { return s.driver.Close() },
			run:    func() error { return s.reopen(ctx) },
		}
	}
	all, err := b.interleave(ctx, b.n/4, restart(small), restart(large))
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	r := within(fmt.Sprintf("start, %d snapshots", b.many), fmt.Sprintf("ours, %d snapshots", few), all[0].median(), all[1].median(), 2*time.Second)
	r.counts = all[1].tally.String()
	b.add(r.note("%d of them have a live device", liveOnes))
	reboot := side{
		before: func() error { return large.driver.Deactivate(ctx) },
		run:    func() error { return large.reopen(ctx) },
	}
	all, err = b.interleave(ctx, b.rounds, reboot)
	if err != nil {
		return fmt.Errorf("start after a reboot: %w", err)
	}
	r = within(fmt.Sprintf("start after a reboot, %d snapshots", b.many), "", 0, all[0].median(), 2*time.Second)
	r.counts = all[0].tally.String()
	b.add(r)
	return nil
}
