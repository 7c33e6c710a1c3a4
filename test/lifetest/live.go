package lifetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/thinpool"
)

// Mounter mounts a snapshot.
type Mounter func(m snapshots.Mount) (snapstest.Volume, error)

// On is the Mounter of a machine, on which mounting cannot fail.
func On(t testing.TB, m snapstest.Machine) Mounter {
	t.Helper()
	return func(mount snapshots.Mount) (snapstest.Volume, error) { return m.Mount(t, mount), nil }
}

// Live is a store that a life happens on. Reopen is set by who can close the driver
// and open it again.
type Live struct {
	D      *snapshots.Driver
	Mount  Mounter
	Reopen func() (*snapshots.Driver, error)
}

// Do carries an operation out.
func (l *Live) Do(ctx context.Context, o Op) (err error) {
	d := l.D
	switch o.Verb {
	case Prepare:
		_, err = d.Prepare(ctx, o.Key, o.Other)
	case View:
		_, err = d.View(ctx, o.Key, o.Other)
	case Clone:
		_, err = d.Clone(ctx, o.Key, o.Other)
	case CloneHeld:
		return l.holding(ctx, o.Other, func() error { _, err := d.Clone(ctx, o.Key, o.Other); return err })
	case Commit:
		err = d.Commit(ctx, o.Other, o.Key)
	case CommitHeld:
		return l.holding(ctx, o.Key, func() error { return d.Commit(ctx, o.Other, o.Key) })
	case Rollback:
		_, err = d.Rollback(ctx, o.Key, o.Other)
	case Resize:
		err = d.Resize(ctx, o.Key, o.Size)
	case Remove:
		err = d.Remove(ctx, o.Key)
	case RemoveHeld:
		return l.holding(ctx, o.Key, func() error { return d.Remove(ctx, o.Key) })
	case Write:
		return l.with(ctx, o.Key, func(v snapstest.Volume) error { return v.Put("a", o.Content) })
	case Label:
		_, err = d.SetLabels(ctx, o.Key, func(map[string]string) (map[string]string, error) { return map[string]string{"is": o.Key}, nil })
	case GrowPool:
		return l.growPool(ctx)
	case Drain:
		err = d.Drain(ctx)
	case Reopen:
		if l.Reopen != nil {
			l.D, err = l.Reopen()
		}
	}
	return err
}

// growPool adds 4 MiB of data and a little metadata.
func (l *Live) growPool(ctx context.Context) error {
	i, err := l.D.Pool(ctx)
	if err != nil {
		return err
	}
	w, ok := i.Status.(thinpool.Working)
	if !ok {
		return fmt.Errorf("pool: %v", i.Status)
	}
	data := uint64(w.TotalData)*i.BlockSize + 4<<20
	err = l.D.GrowPool(ctx, data, w.TotalMeta.Bytes()+1<<18)
	if !errors.Is(err, snapshots.ErrInvalid) {
		return err
	}
	// Others may have made it larger than that meanwhile.
	now, look := l.D.Pool(ctx)
	if w, ok := now.Status.(thinpool.Working); look == nil && ok && uint64(w.TotalData)*i.BlockSize > data {
		return nil
	}
	return errors.Join(err, look)
}

func (l *Live) with(ctx context.Context, key string, use func(snapstest.Volume) error) error {
	m, err := l.D.Mounts(ctx, key)
	if err != nil {
		return err
	}
	v, err := l.Mount(m)
	if err != nil {
		return err
	}
	return errors.Join(use(v), v.Unmount())
}

// holding has a snapshot mounted around f. One that cannot be mounted is f's to refuse.
func (l *Live) holding(ctx context.Context, key string, f func() error) error {
	m, err := l.D.Mounts(ctx, key)
	if err != nil {
		return f()
	}
	v, err := l.Mount(m)
	if err != nil {
		return err
	}
	return errors.Join(f(), v.Unmount())
}

// Look reads what a store holds of the keys that are wanted; nil wants all.
func (l *Live) Look(ctx context.Context, wanted func(key string) bool) (World, error) {
	w := World{}
	var all []snapshots.Info
	err := l.D.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if wanted == nil || wanted(i.Key) {
			all = append(all, i)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		content, err := l.content(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", i.Kind, i.Key, err)
		}
		w[i.Key] = Snapshot{Kind: i.Kind, Parent: i.Parent, Content: content, Size: i.Size}
	}
	return w, nil
}

func (l *Live) content(ctx context.Context, i snapshots.Info) (content string, err error) {
	get := func(v snapstest.Volume) (err error) {
		content, err = v.Get("a")
		return err
	}
	if i.Kind != snapshots.KindCommitted {
		err = l.with(ctx, i.Key, get)
		return content, err
	}
	look := "look " + i.Key
	if _, err := l.D.View(ctx, look, i.Key); err != nil {
		return "", err
	}
	err = l.with(ctx, look, get)
	return content, errors.Join(err, l.D.Remove(ctx, look))
}
