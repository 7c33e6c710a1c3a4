package proxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	csnapshots "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/errdefs"

	"github.com/veneerdm/veneer/snapshots"
)

// Snapshotter is the driver in containerd's words.
type Snapshotter struct{ d *snapshots.Driver }

var (
	_ csnapshots.Snapshotter = (*Snapshotter)(nil)
	_ csnapshots.Cleaner     = (*Snapshotter)(nil)
)

// New makes a snapshotter of a driver. Close closes the driver.
func New(d *snapshots.Driver) *Snapshotter { return &Snapshotter{d} }

func info(i snapshots.Info) csnapshots.Info {
	kind := csnapshots.KindActive
	switch i.Kind {
	case snapshots.KindCommitted:
		kind = csnapshots.KindCommitted
	case snapshots.KindView:
		kind = csnapshots.KindView
	case snapshots.KindActive:
	}
	return csnapshots.Info{Kind: kind, Name: i.Key, Parent: i.Parent, Labels: i.Labels, Created: i.Created, Updated: i.Updated}
}

// Stat describes a snapshot.
func (s *Snapshotter) Stat(ctx context.Context, key string) (csnapshots.Info, error) {
	i, err := s.d.Stat(ctx, key)
	return info(i), containerd(err)
}

// Update changes labels; nothing else of a snapshot can change. Without field
// paths all labels are replaced.
func (s *Snapshotter) Update(ctx context.Context, wanted csnapshots.Info, fieldpaths ...string) (csnapshots.Info, error) {
	i, err := s.d.SetLabels(ctx, wanted.Name, func(labels map[string]string) (map[string]string, error) {
		return updated(labels, wanted, fieldpaths)
	})
	return info(i), containerd(err)
}

func updated(labels map[string]string, wanted csnapshots.Info, fieldpaths []string) (map[string]string, error) {
	if len(fieldpaths) == 0 {
		return wanted.Labels, nil
	}
	for _, path := range fieldpaths {
		name, one := strings.CutPrefix(path, "labels.")
		switch {
		case path == "labels":
			labels = wanted.Labels
		case !one:
			return nil, fmt.Errorf("%w: the field %q of snapshot %q cannot change", snapshots.ErrInvalid, path, wanted.Name)
		case wanted.Labels[name] == "":
			delete(labels, name)
		default:
			if labels == nil {
				labels = map[string]string{}
			}
			labels[name] = wanted.Labels[name]
		}
	}
	return labels, nil
}

// Usage counts what a snapshot adds to its parent. Inodes are not counted: that
// would take a walk through the filesystem.
func (s *Snapshotter) Usage(ctx context.Context, key string) (csnapshots.Usage, error) {
	u, err := s.d.Usage(ctx, key)
	return csnapshots.Usage{Size: int64(u.Added)}, containerd(err)
}

// Mounts says how to mount an active snapshot or a view.
func (s *Snapshotter) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	i, err := s.d.Stat(ctx, key)
	if err != nil {
		return nil, containerd(err)
	}
	m, err := s.d.Mounts(ctx, key)
	return mounts(m, i.Labels), containerd(err)
}

// Prepare makes an active snapshot.
func (s *Snapshotter) Prepare(ctx context.Context, key, parent string, opts ...csnapshots.Opt) ([]mount.Mount, error) {
	labels, options, err := apply(opts)
	if err != nil {
		return nil, containerd(err)
	}
	m, err := s.d.Prepare(ctx, key, parent, options...)
	return mounts(m, labels), containerd(err)
}

// View shows a committed snapshot read-only.
func (s *Snapshotter) View(ctx context.Context, key, parent string, opts ...csnapshots.Opt) ([]mount.Mount, error) {
	labels, options, err := apply(opts)
	if err != nil {
		return nil, containerd(err)
	}
	m, err := s.d.View(ctx, key, parent, options...)
	return mounts(m, labels), containerd(err)
}

// Commit finishes an active snapshot under a name.
func (s *Snapshotter) Commit(ctx context.Context, name, key string, opts ...csnapshots.Opt) error {
	_, options, err := apply(opts)
	if err != nil {
		return containerd(err)
	}
	return containerd(s.d.Commit(ctx, name, key, options...))
}

// Remove takes a snapshot away. Its space comes back in the background.
func (s *Snapshotter) Remove(ctx context.Context, key string) error {
	return containerd(s.d.Remove(ctx, key))
}

// Cleanup waits until the space of removed snapshots that nobody holds has come back.
func (s *Snapshotter) Cleanup(ctx context.Context) error { return containerd(s.d.Drain(ctx)) }

// Close closes the driver. Devices stay active.
func (s *Snapshotter) Close() error { return s.d.Close() }

// Walk calls f with every snapshot that matches one of the filters, or with all.
func (s *Snapshotter) Walk(ctx context.Context, f csnapshots.WalkFunc, given ...string) error {
	filter, err := filters.ParseAll(given...)
	if err != nil {
		return err // an errdefs class already
	}
	return containerd(s.d.Walk(ctx, func(ctx context.Context, i snapshots.Info) error {
		c := info(i)
		if !filter.Match(adapt(c)) {
			return nil
		}
		return f(ctx, c)
	}))
}

// adapt lets filters look at kind, name, parent and labels."x".
func adapt(i csnapshots.Info) filters.Adaptor {
	return filters.AdapterFunc(func(path []string) (string, bool) {
		if len(path) == 0 {
			return "", false
		}
		switch path[0] {
		case "kind":
			return strings.ToLower(i.Kind.String()), true
		case "name":
			return i.Name, true
		case "parent":
			return i.Parent, true
		case "labels":
			v, ok := i.Labels[strings.Join(path[1:], ".")]
			return v, ok
		}
		return "", false
	})
}

// apply reads containerd's options, which fill an Info.
func apply(opts []csnapshots.Opt) (map[string]string, []snapshots.Option, error) {
	var i csnapshots.Info
	for _, o := range opts {
		if err := o(&i); err != nil {
			return nil, nil, err
		}
	}
	options := []snapshots.Option{snapshots.WithLabels(i.Labels)}
	if text, ok := i.Labels[csnapshots.LabelSnapshotMaxSize]; ok {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil || size <= 0 {
			return nil, nil, fmt.Errorf("%w: label %s=%q is not a number of bytes", errdefs.ErrInvalidArgument, csnapshots.LabelSnapshotMaxSize, text)
		}
		options = append(options, snapshots.WithSize(uint64(size)))
	}
	return i.Labels, options, nil
}

// mounts is one plain mount. Where labels map owners, containerd's mount code makes
// an idmapped one of the last two options.
func mounts(m snapshots.Mount, labels map[string]string) []mount.Mount {
	if m.Source == "" {
		return nil
	}
	options := append([]string(nil), m.Options...)
	uids, gids := labels[csnapshots.LabelSnapshotUIDMapping], labels[csnapshots.LabelSnapshotGIDMapping]
	if uids != "" && gids != "" {
		options = append(options, "uidmap="+uids, "gidmap="+gids)
	}
	return []mount.Mount{{Type: m.Type, Source: m.Source, Options: options}}
}
