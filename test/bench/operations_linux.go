package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
)

// busy is how many snapshots a pool has that is in ordinary use.
const busy = 250

// operations compares each verb with its bare ioctls.
func (b *bench) operations(ctx context.Context) (err error) {
	s, err := b.newStore(ctx, "operations")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.destroy()) }()
	if err := s.fill(ctx, busy); err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *store) error{b.prepare, b.commit, b.remove, b.view} {
		if err := measure(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) prepare(ctx context.Context, s *store) error {
	all, err := b.interleave(ctx, b.n, s.barePrepared(), s.prepared(ctx))
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	b.add(against("prepare of a child", "create_snap, create, load, resume", all[0], all[1], 2))
	return nil
}

// barePrepared measures what the kernel does for Prepare.
func (s *store) barePrepared() side {
	var t thin
	return side{
		before: func() (err error) { t, err = s.bare.fresh(); return err },
		run: func() error {
			if err := s.bare.snapshot(t, s.base.ThinID); err != nil {
				return err
			}
			return s.bare.activate(&t, t.id, s.base.Size, devmapper.ReadWrite)
		},
		after: func() error { return errors.Join(s.bare.deactivate(t), s.bare.delete(t)) },
	}
}

// prepared measures Prepare of a child.
func (s *store) prepared(ctx context.Context) side {
	return side{
		run:   func() error { _, err := s.driver.Prepare(ctx, "child", baseKey); return err },
		after: func() error { return s.gone(ctx, "child") },
	}
}

// commit finishes a snapshot that twenty small files were written into. What it
// acknowledges is on disk, so its floor has one fsync of the size of a small
// transaction; the ioctls alone are shown too.
func (b *bench) commit(ctx context.Context, s *store) error {
	var t thin
	before := func() (err error) {
		if t, err = s.bare.fresh(); err != nil {
			return err
		}
		if err := s.bare.snapshot(t, s.base.ThinID); err != nil {
			return err
		}
		if err := s.bare.activate(&t, t.id, s.base.Size, devmapper.ReadWrite); err != nil {
			return err
		}
		return writeFiles(t.mount())
	}
	ioctls := func() error { return errors.Join(flush(t.path()), s.bare.deactivate(t)) }
	after := func() error { return s.bare.delete(t) }
	fsync := b.fsyncs()
	all, err := b.interleave(ctx, b.n,
		side{before: before, run: ioctls, after: after},
		side{
			before: func() error { return errors.Join(before(), fsync.before()) },
			run:    func() error { return errors.Join(ioctls(), fsync.run()) },
			after:  func() error { return errors.Join(after(), fsync.after()) },
		},
		s.committed(ctx))
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	b.add(against("commit", "flush of the device, remove, one fsync", all[1], all[2], 2))
	b.add(against("commit, beside its ioctls alone", "flush of the device, remove", all[0], all[2], 0))
	return nil
}

func (s *store) committed(ctx context.Context) side {
	return side{
		before: func() error {
			m, err := s.driver.Prepare(ctx, "child", baseKey)
			if err == nil {
				err = writeFiles(m)
			}
			return err
		},
		run:   func() error { return s.driver.Commit(ctx, "finished", "child") },
		after: func() error { return s.gone(ctx, "finished") },
	}
}

// remove measures the answer; the rest happens in the background.
func (b *bench) remove(ctx context.Context, s *store) error {
	all, err := b.interleave(ctx, b.n, b.fsyncs(), s.removed(ctx))
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	fsync, ours := all[0].median(), all[1].median()
	r := within("remove, until the answer", "one fsync of 8 KiB", fsync, ours, fsync+time.Millisecond)
	r.counts = all[1].tally.String()
	b.add(r.note("%s more than the fsync", duration(ours-fsync)))
	return nil
}

func (s *store) removed(ctx context.Context) side {
	return side{
		before: func() error { _, err := s.driver.Prepare(ctx, "child", baseKey); return err },
		run:    func() error { return s.driver.Remove(ctx, "child") },
		after:  func() error { return s.driver.Drain(ctx) },
	}
}

// fsyncs writes 8 KiB over what is in a file and makes sure of it.
func (b *bench) fsyncs() side {
	page := make([]byte, 8<<10)
	var f *os.File
	return side{
		before: func() (err error) {
			if f, err = os.OpenFile(filepath.Join(b.dir, "fsync"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
				return err
			}
			if _, err := f.WriteAt(page, 0); err != nil {
				return err
			}
			return f.Sync()
		},
		run: func() error {
			if _, err := f.WriteAt(page, 0); err != nil {
				return err
			}
			return unix.Fdatasync(int(f.Fd()))
		},
		after: func() error { return f.Close() },
	}
}

func (b *bench) view(ctx context.Context, s *store) error {
	var t thin
	all, err := b.interleave(ctx, b.n, side{
		before: func() (err error) { t, err = s.bare.fresh(); return err },
		run:    func() error { return s.bare.activate(&t, s.base.ThinID, s.base.Size, devmapper.ReadOnly) },
		after:  func() error { return s.bare.deactivate(t) },
	}, s.viewed(ctx))
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	b.add(against("view", "create, load, resume, read-only", all[0], all[1], 1.5))
	return nil
}

func (s *store) viewed(ctx context.Context) side {
	return side{
		run:   func() error { _, err := s.driver.View(ctx, "look", baseKey); return err },
		after: func() error { return s.gone(ctx, "look") },
	}
}
