package imagestest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/snapshots"
)

// Directories is a driver whose snapshots are directories.
type Directories struct {
	root string

	mu      sync.Mutex
	snaps   map[string]*snapshot
	records map[string]snapshots.Record
	next    int
	calls   map[string]int
	fail    func(verb, key string) error
}

type snapshot struct {
	info snapshots.Info
	dir  string
}

var _ images.Snapshots = (*Directories)(nil)

// NewDirectories makes a driver that keeps its snapshots in root.
func NewDirectories(root string) *Directories {
	return &Directories{root: root, snaps: map[string]*snapshot{}, records: map[string]snapshots.Record{}, calls: map[string]int{}}
}

// FailWith has every call ask fn first; an error of fn's is the call's.
func (d *Directories) FailWith(fn func(verb, key string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fn
}

// Calls says how often a verb, such as "commit", has been called.
func (d *Directories) Calls(verb string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[verb]
}

// Dir is the directory of a snapshot, "" when there is none.
func (d *Directories) Dir(key string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.snaps[key]; s != nil {
		return s.dir
	}
	return ""
}

// Keys lists the keys of all snapshots.
func (d *Directories) Keys() map[string]snapshots.Kind {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := map[string]snapshots.Kind{}
	for key, s := range d.snaps {
		keys[key] = s.info.Kind
	}
	return keys
}

// begin counts a call and asks whether it is to fail.
func (d *Directories) begin(ctx context.Context, verb, key string) error {
	d.mu.Lock()
	d.calls[verb]++
	fail := d.fail
	d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if fail != nil {
		return fail(verb, key)
	}
	return nil
}

func opError(verb, key string, err error) error {
	return &snapshots.OpError{Op: verb, Key: key, Err: err}
}

// Stat implements images.Snapshots.
func (d *Directories) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	if err := d.begin(ctx, "stat", key); err != nil {
		return snapshots.Info{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snaps[key]
	if s == nil {
		return snapshots.Info{}, opError("stat", key, snapshots.ErrNotFound)
	}
	return s.info, nil
}

// Prepare implements images.Snapshots.
func (d *Directories) Prepare(ctx context.Context, key, parent string, _ ...snapshots.Option) (snapshots.Mount, error) {
	return d.create(ctx, "prepare", key, parent, snapshots.KindActive, parent)
}

// View implements images.Snapshots.
func (d *Directories) View(ctx context.Context, key, parent string, _ ...snapshots.Option) (snapshots.Mount, error) {
	return d.create(ctx, "view", key, parent, snapshots.KindView, parent)
}

// Clone implements images.Snapshots.
func (d *Directories) Clone(ctx context.Context, key, source string, _ ...snapshots.Option) (snapshots.Mount, error) {
	info, err := d.Stat(ctx, source)
	if err != nil {
		return snapshots.Mount{}, err
	}
	return d.create(ctx, "clone", key, info.Parent, snapshots.KindActive, source)
}

// create makes a snapshot with the content of another, under d.mu: what is being
// copied may not change.
func (d *Directories) create(ctx context.Context, verb, key, parent string, kind snapshots.Kind, from string) (snapshots.Mount, error) {
	if err := d.begin(ctx, verb, key); err != nil {
		return snapshots.Mount{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.snaps[key] != nil {
		return snapshots.Mount{}, opError(verb, key, snapshots.ErrExists)
	}
	if p := d.snaps[parent]; parent != "" && (p == nil || p.info.Kind != snapshots.KindCommitted) {
		return snapshots.Mount{}, opError(verb, key, snapshots.ErrNotFound)
	}
	d.next++
	dir := filepath.Join(d.root, strconv.Itoa(d.next))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return snapshots.Mount{}, err
	}
	if from != "" {
		if err := copyTree(ctx, d.snaps[from].dir, dir); err != nil {
			return snapshots.Mount{}, fmt.Errorf("copy a snapshot: %w", err)
		}
	}
	d.snaps[key] = &snapshot{dir: dir, info: snapshots.Info{Key: key, Parent: parent, Kind: kind}}
	return snapshots.Mount{Type: "directory", Source: dir}, nil
}

// Commit implements images.Snapshots.
func (d *Directories) Commit(ctx context.Context, name, key string, _ ...snapshots.Option) error {
	if err := d.begin(ctx, "commit", name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snaps[key]
	switch {
	case s == nil:
		return opError("commit", key, snapshots.ErrNotFound)
	case d.snaps[name] != nil:
		return opError("commit", name, snapshots.ErrExists)
	case s.info.Kind != snapshots.KindActive:
		return opError("commit", key, snapshots.ErrInvalid)
	}
	delete(d.snaps, key)
	s.info.Key, s.info.Kind = name, snapshots.KindCommitted
	d.snaps[name] = s
	return nil
}

// Remove implements images.Snapshots.
func (d *Directories) Remove(ctx context.Context, key string) error {
	if err := d.begin(ctx, "remove", key); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snaps[key]
	if s == nil {
		return opError("remove", key, snapshots.ErrNotFound)
	}
	for _, other := range d.snaps {
		if other.info.Parent == key {
			return opError("remove", key, snapshots.ErrInUse)
		}
	}
	delete(d.snaps, key)
	return os.RemoveAll(s.dir)
}

// Usage implements images.Snapshots: the sizes of the files that the parent does
// not have with the same size under the same name.
func (d *Directories) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	if err := d.begin(ctx, "usage", key); err != nil {
		return snapshots.Usage{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snaps[key]
	if s == nil {
		return snapshots.Usage{}, opError("usage", key, snapshots.ErrNotFound)
	}
	below := ""
	if p := d.snaps[s.info.Parent]; p != nil {
		below = p.dir
	}
	var u snapshots.Usage
	err := filepath.Walk(s.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		size := uint64(info.Size())
		u.Mapped += size
		rel, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		old, err := os.Lstat(filepath.Join(below, rel))
		if below == "" || err != nil || old.Size() != info.Size() {
			u.Added += size
		}
		return nil
	})
	return u, err
}

// Walk implements images.Snapshots.
func (d *Directories) Walk(ctx context.Context, fn func(context.Context, snapshots.Info) error) error {
	if err := d.begin(ctx, "walk", ""); err != nil {
		return err
	}
	d.mu.Lock()
	var list []snapshots.Info
	for _, s := range d.snaps {
		list = append(list, s.info)
	}
	d.mu.Unlock()
	for _, info := range list {
		if err := fn(ctx, info); err != nil {
			return err
		}
	}
	return nil
}

// Mount is an images.Mounter for the driver's mounts.
func Mount(_ context.Context, m snapshots.Mount) (images.Tree, error) { return openTree(m.Source) }

func openTree(dir string) (images.Tree, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return tree{f}, nil
}

type tree struct{ *os.File }

func (t tree) FD() int { return int(t.Fd()) }

func (t tree) Path() string { return "/proc/self/fd/" + strconv.Itoa(t.FD()) }
