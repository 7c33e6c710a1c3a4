package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
)

// Full asks what an application sees when there is no space left.
type Full struct{}

// Summary describes the scenario.
func (Full) Summary() bench.Summary {
	return bench.Summary{
		Name: "full", Question: "What does an application see when the disk or the pool is full, and does the store recover?",
		DiskSize: 320 * mib, Rounds: 1,
		Text: `Nearly all of a small disk is taken by one container. Another one does its work until
something refuses, at the latest when 64 MiB are written: the outcome names the call
that failed and its error. What was synced before must still be right. Then that
container is removed, which gives its space back, and a fresh one tries again.

On a filesystem the call that needs space gets ENOSPC. In a thin pool the filesystem
inside has space by its own count, so write succeeds and the error comes with fsync, as
ENOSPC or EIO, or as a filesystem that has turned read-only. That is the price of
promising more than there is, and why Veneer refuses new snapshots when space runs
low. Numbers are not the point here, and one round is taken.`,
	}
}

// Ready needs no tool.
func (Full) Ready() error { return nil }

var (
	fullFile = content{"full", 16 * mib}
	fullTree = tree{"full", 200, kib}
)

// spare is left free by the container that takes the rest.
const spare = 24 * mib

const (
	most  = 64 * mib // is what an application writes before it is content
	step  = 4 * mib  // is what it writes between syncs
	small = 16 * kib // is the size of a small file
)

// Prepare makes an image, and fills the store but for a little.
func (x Full) Prepare(ctx context.Context, s *bench.Site) error {
	err := s.Store.Commit(ctx, "base", "", func(dir string) error {
		return errors.Join(fullFile.write(filepath.Join(dir, "file")), fullTree.write(dir))
	})
	if err != nil {
		return err
	}
	return fill(ctx, s)
}

// Cases are what the application does.
func (x Full) Cases(bench.Scale) []bench.Case {
	var cases []bench.Case
	for _, c := range []struct {
		name string
		do   func(ctx context.Context, s *bench.Site, dir string) error
	}{
		{"write a new file", func(_ context.Context, s *bench.Site, dir string) error {
			return fillFile(s, filepath.Join(dir, "new"), 0)
		}},
		{"write all of a file of the image", func(_ context.Context, s *bench.Site, dir string) error {
			return fillFile(s, filepath.Join(dir, "file"), fullFile.size)
		}},
		{"write many small files", fillTree},
		{"chmod the image's files", func(_ context.Context, _ *bench.Site, dir string) error {
			return fullTree.each(dir, func(path string) error { return at("chmod", errors.Join(os.Chmod(path, 0o600))) })
		}},
		{"unpack a layer", func(ctx context.Context, s *bench.Site, _ string) error {
			err := s.Store.Commit(ctx, "unpacked", "base", func(dir string) error { return fillTree(ctx, s, dir) })
			if err == nil {
				err = s.Store.Drop(ctx, "unpacked")
			}
			return err
		}},
	} {
		cases = append(cases, bench.Case{Name: c.name, Run: func(ctx context.Context, s *bench.Site) error { return x.run(ctx, s, c.do) }})
	}
	return cases
}

func (x Full) run(ctx context.Context, s *bench.Site, do func(ctx context.Context, s *bench.Site, dir string) error) error {
	c, err := s.Container(ctx, "base")
	if expected(err) {
		s.Outcome("create container gives %s", describe(err))
		return nil
	}
	if err != nil {
		return err
	}
	saw := do(ctx, s, c.Dir)
	if saw != nil && !expected(saw) {
		return saw
	}
	// The image must be right whatever happened above it.
	if err := errors.Join(s.Stop(ctx, c), s.Remove(ctx, c), ignoreFull(s.Store.Settle(ctx))); err != nil {
		return err
	}
	outcome := "nothing refused"
	if saw != nil {
		outcome = describe(saw)
	}
	again, err := s.Container(ctx, "base")
	if err == nil {
		err = fullFile.check(filepath.Join(again.Dir, "file"))
	}
	if errors.Is(err, bench.ErrContent) {
		return err
	}
	if err == nil {
		err = fillPiece(filepath.Join(again.Dir, "again"))
	}
	if err != nil {
		outcome += "; afterwards " + describe(err)
	} else {
		outcome += "; works again once space is freed"
	}
	s.Outcome("%s", outcome)
	return nil
}

// fill has a container of its own take space until the store has only a little left. A
// filesystem gives it without a write (fallocate(2)); a pool does not.
func fill(ctx context.Context, s *bench.Site) error {
	const name = "filler"
	if err := s.Store.Create(ctx, name, "base"); err != nil {
		return err
	}
	dir, err := s.Store.Mount(ctx, name)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		return errors.Join(err, s.Store.Unmount(ctx, name))
	}
	space, err := s.Store.Stored(ctx)
	if size := int64(space.Size) - int64(space.Used) - spare; err == nil && size > 0 {
		_ = unix.Fallocate(int(f.Fd()), 0, 0, size)
		err = f.Sync()
	}
	if err == nil {
		space, err = s.Store.Stored(ctx)
	}
	size := int64(0)
	for err == nil && space.Used+spare < space.Size {
		more := min(64*mib, max(4*mib, (space.Size-space.Used-spare)/2/mib*mib))
		if _, err = f.Write(bytes.Repeat([]byte{0xa5}, int(more))); err == nil {
			err = f.Sync()
		}
		if err == nil {
			size += int64(more)
			space, err = s.Store.Stored(ctx)
		}
	}
	if expected(err) { // it counts otherwise than it stores
		err = errors.Join(f.Truncate(max(0, size-spare)), f.Sync())
	}
	return errors.Join(err, f.Close(), s.Store.Unmount(ctx, name), s.Store.Settle(ctx))
}

// fillPiece makes a small file and makes sure of it.
func fillPiece(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(fresh())
	return errors.Join(err, f.Sync(), f.Close())
}

// fillFile writes a file until something refuses. What fsync has said is done must be
// there.
func fillFile(s *bench.Site, path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return at("open", err)
	}
	defer f.Close()
	if size == 0 {
		size = most
	}
	block := make([]byte, step)
	for i := range block {
		block[i] = byte(i)
	}
	done := int64(0)
	defer func() { s.Record(bench.Accepted, float64(done)) }()
	for done < size {
		if _, err := f.WriteAt(block, done); err != nil {
			return errors.Join(at("write", err), acknowledged(f, block, done))
		}
		if err := f.Sync(); err != nil {
			return errors.Join(at("fsync", err), acknowledged(f, block, done))
		}
		done += step
	}
	return nil
}

// acknowledged compares what was synced.
func acknowledged(f *os.File, block []byte, done int64) error {
	got := make([]byte, step)
	for i := int64(0); i < done; i += step {
		if _, err := f.ReadAt(got, i); err != nil {
			return at("read", err)
		}
		if string(got) != string(block) {
			return bench.Corrupt("what fsync had acknowledged at %d is gone", i)
		}
	}
	return nil
}

// fillTree writes small files, synced together now and then.
func fillTree(_ context.Context, s *bench.Site, dir string) error {
	own := filepath.Join(dir, "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		return at("mkdir", err)
	}
	done := 0
	defer func() { s.Record(bench.Accepted, float64(done*small)) }()
	for i := range most / small {
		if err := os.WriteFile(filepath.Join(own, fmt.Sprint(i)), make([]byte, small), 0o644); err != nil {
			return at("write", err)
		}
		if i%(step/small) == step/small-1 {
			if err := sync(dir); err != nil {
				return at("syncfs", err)
			}
			done = i + 1
		}
	}
	return nil
}

// callError is an error and the call that gave it.
type callError struct {
	call string
	err  error
}

func (e *callError) Error() string { return e.call + ": " + e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

func at(call string, err error) error {
	if err == nil {
		return nil
	}
	return &callError{call, err}
}

// full are the errors that a lack of space may show as.
var full = []error{unix.ENOSPC, unix.EIO, unix.EROFS, unix.EDQUOT}

func expected(err error) bool {
	if errors.Is(err, bench.ErrContent) {
		return false
	}
	for _, e := range full {
		if errors.Is(err, e) {
			return true
		}
	}
	return refusedNew(err)
}

func ignoreFull(err error) error {
	if expected(err) {
		return nil
	}
	return err
}

// describe names the call and the error.
func describe(err error) string {
	name := err.Error()
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		name = unix.ErrnoName(errno)
	}
	if call, ok := errors.AsType[*callError](err); ok {
		return call.call + " gives " + name
	}
	if refusedNew(err) {
		return "refused before it began: the pool is nearly full"
	}
	return name
}
