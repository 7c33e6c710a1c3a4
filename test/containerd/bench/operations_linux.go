package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// smallStep is how many files a step of a build writes.
const smallStep = 20

// The measured operations, in the table's order.
var operationNames = []string{
	"prepare", "commit", "view", "remove view", "remove active", "remove active, wait for space",
}

// operations measures the verbs of three snapshotters in this process.
func (b *bench) operations(ctx context.Context) (err error) {
	sides, closeAll, err := b.openSides(ctx, ours, devmapperSide, overlaySide)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	for _, s := range sides {
		if err := s.commitFiles(ctx, baseKey, "", smallStep); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	results := make([][sideCount]samples, len(operationNames))
	for i := range b.n + 1 {
		for j := range sides {
			k := (i + j) % len(sides)
			l := &lap{ctx: ctx, side: sides[k]}
			if err := l.run(fmt.Sprintf("round-%03d", i)); err != nil {
				return fmt.Errorf("%s: %w", sides[k].name, err)
			}
			for o, took := range l.times {
				if i > 0 { // the first round fills caches
					results[o][k] = append(results[o][k], took)
				}
			}
		}
	}
	// Programs are counted in a round of its own: counting costs time.
	counts := make([][sideCount]string, len(operationNames))
	for k, s := range sides {
		c, err := b.startCounting()
		if err != nil {
			return err
		}
		l := &lap{ctx: ctx, side: s, programs: c.count}
		err = errors.Join(l.run("counted"), c.stop())
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for o, n := range l.executed {
			counts[o][k] = fmt.Sprint(n)
		}
	}
	for o, name := range operationNames {
		b.table.add(row{operation: name, took: results[o], programs: counts[o], devmapperLimit: 0.1})
	}
	return nil
}

// lap is one round of one side: each operation once.
type lap struct {
	ctx      context.Context
	side     *side
	programs func() (int, error) // how many were executed until now
	times    []time.Duration
	executed []int
	err      error
}

// timed runs an operation and notes what it took.
func (l *lap) timed(operation func() error) {
	if l.err != nil {
		return
	}
	before := l.count()
	began := time.Now()
	l.err = operation()
	l.times = append(l.times, time.Since(began))
	l.executed = append(l.executed, l.count()-before)
}

func (l *lap) count() (n int) {
	if l.programs != nil && l.err == nil {
		n, l.err = l.programs()
	}
	return n
}

func (l *lap) untimed(operation func() error) {
	if l.err == nil {
		l.err = operation()
	}
}

// run performs the operations in the order of operationNames.
func (l *lap) run(key string) error {
	s, ctx := l.side, l.ctx
	active, layer, view := key+" active", key+" layer", key+" view"
	l.timed(func() error { _, err := s.Prepare(ctx, active, baseKey); return err })
	l.untimed(func() error { return l.fill(active) })
	l.timed(func() error { return s.Commit(ctx, layer, active) })
	l.timed(func() error { _, err := s.View(ctx, view, layer); return err })
	l.timed(func() error { return s.Remove(ctx, view) })
	for _, wait := range []bool{false, true} {
		l.untimed(func() error { _, err := s.Prepare(ctx, active, baseKey); return err })
		l.untimed(func() error { return l.fill(active) })
		l.untimed(func() error { return s.settle(ctx) })
		l.timed(func() error {
			err := s.Remove(ctx, active)
			if wait {
				err = errors.Join(err, s.settle(ctx))
			}
			return err
		})
	}
	l.untimed(func() error { return s.Remove(ctx, layer) })
	l.untimed(func() error { return s.settle(ctx) })
	return l.err
}

func (l *lap) fill(key string) error {
	mounts, err := l.side.Mounts(l.ctx, key)
	if err != nil {
		return err
	}
	return l.side.write(mounts, smallStep)
}
