package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/images/progress"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/service/client"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/thinpool"
)

// drainFor is how long a command that removed something waits for its space to
// come back. What is left then comes back with the next command.
const drainFor = 20 * time.Second

// driver is what commands use: the store opened here, or the daemon that has it.
type driver interface {
	images.Snapshots
	Rollback(ctx context.Context, key, to string) (snapshots.Mount, error)
	Mounts(ctx context.Context, key string) (snapshots.Mount, error)
	Resize(ctx context.Context, key string, bytes uint64) error
	Holders(ctx context.Context, key string) (int, error)
	Pool(ctx context.Context) (snapshots.PoolInfo, error)
	GrowPool(ctx context.Context, data, meta uint64) error
	Check(ctx context.Context) (dmthin.Superblock, error)
	Drain(ctx context.Context) error
	Backup(ctx context.Context, w io.Writer) error
	Close() error
}

var (
	_ driver = (*snapshots.Driver)(nil)
	_ driver = (*client.Client)(nil)
)

// openDriver opens the store. When another process has it, and that is the daemon
// that answers on the address, the daemon is asked instead.
func (a *app) openDriver(ctx context.Context) (driver, error) {
	d, err := snapshots.Open(ctx, a.driverConfig())
	if !errors.Is(err, snapshots.ErrLocked) {
		return d, err
	}
	c, dialErr := client.Dial(ctx, a.address, version)
	switch {
	case errors.Is(dialErr, class.Version):
		return nil, dialErr
	case dialErr != nil:
		return nil, err // nobody answers, so it is another command that has the store
	case c.Root() != a.root:
		return nil, errors.Join(err, c.Close()) // it is the daemon of another store
	}
	return c, nil
}

// withDriver opens the store for f.
func (a *app) withDriver(ctx context.Context, f func(driver) error) error {
	if err := requireRoot(); err != nil {
		return err
	}
	d, err := a.openDriver(ctx)
	if err != nil {
		return err
	}
	err = f(d)
	return errors.Join(err, d.Close())
}

// withLocal is withDriver for what only the owner of the store can do.
func (a *app) withLocal(ctx context.Context, f func(*snapshots.Driver) error) error {
	return a.withDriver(ctx, func(d driver) error {
		local, ok := d.(*snapshots.Driver)
		if !ok {
			return fmt.Errorf("%w: the daemon on %s has the store; stop it first", snapshots.ErrLocked, a.address)
		}
		return f(local)
	})
}

// changingImages is withImages for what changes images. Where the daemon has the store,
// several commands may run at once, and only one of them may: the others wait for it.
func (a *app) changingImages(ctx context.Context, f func(driver, *images.Store) error) error {
	return a.withImages(ctx, func(d driver, s *images.Store) (err error) {
		unlock, err := a.lockImages(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
		return f(d, s)
	})
}

// lockPoll is how often a command looks whether another one has ended. A lock that is
// waited for in the kernel would not end with the context.
const lockPoll = 100 * time.Millisecond

// lockImages waits until no other command changes images.
func (a *app) lockImages(ctx context.Context) (unlock func() error, err error) {
	lock, err := os.OpenFile(filepath.Join(a.root, "images.lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for said := false; ; {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return lock.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, lock.Close())
		}
		if !said && !a.quiet {
			fmt.Fprintln(a.stderr, "waiting for another command that changes images")
			said = true
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), lock.Close())
		}
	}
}

// withImages opens the store and its images for f.
func (a *app) withImages(ctx context.Context, f func(driver, *images.Store) error) error {
	return a.withDriver(ctx, func(d driver) error {
		s, err := images.Open(images.Config{
			Root: a.root, Snapshots: d, Limits: a.config.Limits.limits(),
			Explain: explain(d), Warn: func(message string) { a.log.Warn(message) },
		})
		if err != nil {
			return err
		}
		// Imports and commits remove what they made on the way, above all when they fail.
		return errors.Join(f(d, s), drain(context.WithoutCancel(ctx), d))
	})
}

// littleSpace is the free space, in bytes, of a disk that counts as full.
const littleSpace = 1 << 20

// explain says why the pool's devices do not take a write, if that can be seen: the
// filesystem on them knows only that it failed.
func explain(d driver) func(context.Context, error) error {
	return func(ctx context.Context, err error) error {
		info, poolErr := d.Pool(context.WithoutCancel(ctx))
		if poolErr != nil {
			return errors.Join(err, poolErr)
		}
		w, ok := info.Status.(thinpool.Working)
		switch {
		case !ok:
			return fmt.Errorf("%w: %w: pool %q has failed; see \"veneer doctor\"", err, snapshots.ErrPoolState, info.Name)
		case w.UsedData >= w.TotalData:
			return fmt.Errorf("%w: %w: all %s of pool %q are used; grow it, or remove something", err, snapshots.ErrNoSpace, bytesize.Format(uint64(w.TotalData)*info.BlockSize), info.Name)
		case w.Writable() != nil:
			return fmt.Errorf("%w: %w: pool %q: %w; see \"veneer doctor\"", err, snapshots.ErrPoolState, info.Name, w.Writable())
		case info.Backing == metadata.BackingLoop:
			var st syscall.Statfs_t
			if syscall.Statfs(info.Data, &st) == nil && st.Bavail*uint64(st.Bsize) < littleSpace {
				return fmt.Errorf("%w: %w: the disk that has %s is full; make room on it", err, syscall.ENOSPC, info.Data)
			}
		}
		return err
	}
}

// drain waits a while for the space of removed snapshots.
func drain(ctx context.Context, d driver) error {
	ctx, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	err := d.Drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// watching runs f with a printer of progress.
func (a *app) watching(f func(images.Progress) error) error {
	mode := progress.Mode(a.progress)
	if a.quiet {
		mode = progress.None
	}
	p := progress.New(a.stderr, mode)
	err := f(p.Event)
	p.Close()
	return err
}

// completed gives completion for a command's argument: names that f finds.
func (a *app) completed(f func(driver, *images.Store) []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(c *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		err := a.withImages(c.Context(), func(d driver, s *images.Store) error {
			names = f(d, s)
			return nil
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
