package snapshots_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/veneerdm/veneer/devmapper/dmtest"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/metadatatest"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/thinpool"
)

// source is what a strike counts the calls of.
type source string

const (
	ioctls source = "ioctl"
	writes source = "catalog write"
	ports  source = "port"
)

// strike is one fault: of the calls to a source, one fails, once, in one of the ways
// that it can.
type strike struct {
	source source
	call   int
	way    int

	mu      sync.Mutex
	calls   int
	fired   bool
	failure failure
	name    string // of the call
	ways    int    // that the call can fail in
}

func (s *strike) String() string {
	return fmt.Sprintf("%s %d (%s), %v", s.source, s.call, s.name, s.failure.err)
}

// next counts a call and says how it fails, if it is the one.
func (s *strike) next(from source, name string, ways []failure) (failure, int, bool) {
	if s == nil || s.source != from {
		return failure{}, 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.calls-1 != s.call {
		return failure{}, 0, false
	}
	// Which call is the how manyth differs from run to run where the background works.
	if s.name, s.ways = name, len(ways); len(ways) == 0 {
		return failure{}, 0, false
	}
	way := s.way % len(ways)
	s.failure, s.fired = ways[way], true
	return s.failure, way, true
}

func (s *strike) reached() (reached, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls > s.call, s.way+1 < s.ways
}

// arm makes the strike happen from now on; disarm says whether it did.
func (f *faulty) arm(s *strike) {
	f.mu.Lock()
	f.strike = s
	f.mu.Unlock()
	f.m.Kernel.Inject(func(c dmtest.Call) error {
		if failure, _, ok := s.next(ioctls, c.Op+" "+c.Detail, failuresOf(c)); ok {
			return failure.err
		}
		return nil
	})
}

func (f *faulty) disarm() (fired bool) {
	f.m.Kernel.Inject(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.strike
	f.strike, f.beforeWrite = nil, nil
	if s == nil {
		return f.dead
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

var errDiskFull = fmt.Errorf("catalog: %w", syscall.ENOSPC)

func (f *faulty) beforeChange(method string) error {
	f.mu.Lock()
	alive, s := f.beforeWrite, f.strike
	f.mu.Unlock()
	if alive != nil {
		return alive()
	}
	if failure, _, ok := s.next(writes, method, failures(errDiskFull)); ok {
		return failure.err
	}
	return nil
}

// port calls a method of Host or Disks, or has it fail: before it does anything, after
// it has done everything or, if it has two parts, after the first.
func (f *faulty) port(name string, call func() error, half func() error) error {
	f.mu.Lock()
	s := f.strike
	f.mu.Unlock()
	moments := []func() error{nil, call}
	if half != nil {
		moments = append(moments, half)
	}
	var ways []failure
	for range moments {
		ways = append(ways, portFailures[name]...)
	}
	failure, way, ok := s.next(ports, name, ways)
	if !ok {
		return call()
	}
	if done := moments[way/len(portFailures[name])]; done != nil {
		if err := done(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", name, failure.err)
}

// faultyHost and faultyDisks are ports whose methods can be struck.
type faultyHost struct {
	snapshots.Host
	f *faulty
}

func (h faultyHost) Format(ctx context.Context, o filesystem.Format) error {
	return h.f.port("Format", func() error { return h.Host.Format(ctx, o) }, nil)
}

func (h faultyHost) Grow(ctx context.Context, m snapshots.Mount) error {
	return h.f.port("Host.Grow", func() error { return h.Host.Grow(ctx, m) }, nil)
}

func (h faultyHost) Settle(ctx context.Context, device string) (s filesystem.State, err error) {
	err = h.f.port("Settle", func() (err error) { s, err = h.Host.Settle(ctx, device); return err }, nil)
	return s, err
}

func (h faultyHost) Replay(ctx context.Context, m snapshots.Mount) error {
	return h.f.port("Replay", func() error { return h.Host.Replay(ctx, m) }, nil)
}

func (h faultyHost) Discard(ctx context.Context, device string) error {
	return h.f.port("Discard", func() error { return h.Host.Discard(ctx, device) }, nil)
}

func (h faultyHost) Identify(device string) (sb filesystem.Superblock, err error) {
	err = h.f.port("Identify", func() (err error) { sb, err = h.Host.Identify(device); return err }, nil)
	return sb, err
}

// hooked opens catalogs that ask a fault hook before every change.
func hooked(before func(change string) error) func(string, metadata.Options) (snapshots.Catalog, error) {
	return func(path string, o metadata.Options) (snapshots.Catalog, error) {
		c, err := metadatatest.Open(path, o, before)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}

type faultyDisks struct {
	snapshots.Disks
	f *faulty
}

func (d faultyDisks) Vacant(ctx context.Context, p metadata.Pool) error {
	return d.f.port("Vacant", func() error { return d.Disks.Vacant(ctx, p) }, nil)
}

func (d faultyDisks) Create(ctx context.Context, p metadata.Pool, data, meta uint64) error {
	create := func() error { return d.Disks.Create(ctx, p, data, meta) }
	return d.f.port("Create", create, func() error { return errors.Join(create(), os.Remove(p.Metadata)) })
}

func (d faultyDisks) Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	err = d.f.port("Attach", func() (err error) { data, meta, err = d.Disks.Attach(ctx, p); return err }, nil)
	return data, meta, err
}

func (d faultyDisks) Grow(ctx context.Context, p metadata.Pool, data, meta uint64) error {
	return d.f.port("Disks.Grow", func() error { return d.Disks.Grow(ctx, p, data, meta) }, func() error { return d.Disks.Grow(ctx, p, data, 0) })
}

func (d faultyDisks) Detach(ctx context.Context, p metadata.Pool) error {
	return d.f.port("Detach", func() error { return d.Disks.Detach(ctx, p) }, nil)
}

func (d faultyDisks) Delete(ctx context.Context, p metadata.Pool) error {
	return d.f.port("Delete", func() error { return d.Disks.Delete(ctx, p) }, func() error { return os.Remove(p.Data) })
}
