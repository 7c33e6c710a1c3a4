package backend

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/bytesize"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/thinpool"
)

// Thin is Veneer: a container is a thin snapshot of its layer's thin device, and a
// first write copies one data block of the pool.
type Thin struct {
	Filesystem string // a name of package filesystem, or "" for its default
	BlockSize  uint64 // bytes, 64 KiB
}

func (t Thin) filesystem() string {
	if t.Filesystem == "" {
		return filesystem.Default
	}
	return t.Filesystem
}

func (t Thin) blockSize() uint64 {
	if t.BlockSize == 0 {
		return snapshots.DefaultBlockSize
	}
	return t.BlockSize
}

// About describes the backend.
func (t Thin) About() bench.About {
	name := "thin"
	if t.filesystem() != filesystem.Default {
		name += "-" + t.filesystem()
	}
	if t.blockSize() != snapshots.DefaultBlockSize {
		name += "-" + strings.ToLower(strings.TrimSuffix(bytesize.Size(t.blockSize()).String(), "iB"))
	}
	return bench.About{
		Name: name, Kind: bench.KindBlock, Filesystem: t.filesystem(),
		Text:    "Veneer: thin block snapshots; a first write copies one block",
		Options: "block size " + bytesize.Format(t.blockSize()) + ", new blocks zeroed",
	}
}

// Ready looks for root, dm-thin and mkfs.
func (t Thin) Ready() error {
	if missing := filesystem.MissingTools(t.filesystem()); len(missing) > 0 {
		return fmt.Errorf("%w: install %s", bench.ErrNotReady, strings.Join(missing, " and "))
	}
	dm, err := devmapper.Open()
	if err != nil {
		return fmt.Errorf("%w: %w", bench.ErrNotReady, err)
	}
	defer func() { _ = dm.Close() }() // nothing was written to it
	if _, err := dm.TargetVersion("thin-pool"); err != nil {
		return fmt.Errorf("%w: this kernel has no dm-thin (modprobe dm_thin_pool): %w", bench.ErrNotReady, err)
	}
	return nil
}

const (
	catalogSize = 32 << 20
	metaShare   = 64 // of the disk is the pool's metadata
	metaLeast   = 16 << 20
)

// Open makes a pool and its catalog. The catalog has a small filesystem of its own on
// the same disk, so that its writes are counted.
func (t Thin) Open(ctx context.Context, d bench.Disk, dir string) (bench.Store, error) {
	catalog, err := d.Part(ctx, "catalog", catalogSize)
	if err != nil {
		return nil, err
	}
	meta, err := d.Part(ctx, "meta", max(metaLeast, d.Size()/metaShare))
	if err != nil {
		return nil, err
	}
	data, err := d.Part(ctx, "data", 0)
	if err != nil {
		return nil, err
	}
	s := &thinStore{mounts: mounts{dir: dir}, catalog: base{dir: filepath.Join(dir, "catalog")}}
	if err := filesystem.Make(ctx, filesystem.Format{Filesystem: filesystem.Default, Device: catalog, Zeroed: true}); err != nil {
		return s, err
	}
	if err := s.catalog.mount(filesystem.Default, catalog); err != nil {
		return s, err
	}
	run := filepath.Base(filepath.Dir(filepath.Dir(dir)))
	s.driver, err = snapshots.CreatePool(ctx, snapshots.Config{Root: filepath.Join(s.catalog.dir, "veneer"), Admit: snapshots.DefaultAdmission}, snapshots.PoolOptions{
		Name: run + "-" + filepath.Base(dir), Backing: metadata.BackingDevices, Data: data, Metadata: meta,
		BlockSize: t.blockSize(), Filesystem: t.filesystem(), BaseSize: d.Size() / (1 << 20) * (1 << 20),
	})
	return s, err
}

// thinStore is an open pool.
type thinStore struct {
	driver  *snapshots.Driver
	catalog base
	mounts  mounts
}

func (s *thinStore) Commit(ctx context.Context, layer, parent string, fill func(dir string) error) error {
	key := "making-" + layer
	m, err := s.driver.Prepare(ctx, key, parent)
	if err != nil {
		return err
	}
	dir, err := s.mounts.at(key, m)
	if err != nil {
		return errors.Join(err, s.driver.Remove(ctx, key))
	}
	err = fill(dir)
	err = errors.Join(err, s.Unmount(ctx, key))
	if err != nil {
		return errors.Join(err, s.driver.Remove(ctx, key))
	}
	return s.driver.Commit(ctx, layer, key)
}

func (s *thinStore) Drop(ctx context.Context, layer string) error {
	return s.driver.Remove(ctx, layer)
}

func (s *thinStore) Create(ctx context.Context, container, layer string) error {
	_, err := s.driver.Prepare(ctx, container, layer)
	return err
}

func (s *thinStore) Mount(ctx context.Context, container string) (string, error) {
	m, err := s.driver.Mounts(ctx, container)
	if err != nil {
		return "", err
	}
	return s.mounts.at(container, m)
}

func (s *thinStore) Unmount(_ context.Context, container string) error {
	return s.mounts.unmount(container)
}

func (s *thinStore) Remove(ctx context.Context, container string) error {
	return s.driver.Remove(ctx, container)
}

// Settle ends with the pool's own commit: the flush of any thin device does that.
func (s *thinStore) Settle(ctx context.Context) error {
	var errs []error
	for _, dir := range s.mounts.all() {
		errs = append(errs, syncFS(dir))
	}
	return errors.Join(append(errs, syncFS(s.catalog.dir), s.driver.Drain(ctx))...)
}

func (s *thinStore) Stored(ctx context.Context) (space bench.Space, err error) {
	p, err := s.driver.Pool(ctx)
	if err != nil {
		return space, err
	}
	w, ok := p.Status.(thinpool.Working)
	if !ok {
		return space, fmt.Errorf("the pool %s has given up", p.Name)
	}
	return bench.Space{Used: uint64(w.UsedData) * p.BlockSize, Size: uint64(w.TotalData) * p.BlockSize}, nil
}

func (s *thinStore) Close(ctx context.Context) error {
	errs := []error{s.mounts.close()}
	if s.driver != nil {
		err := s.driver.Drain(ctx)
		if err = errors.Join(err, s.driver.DestroyPool(ctx)); err != nil {
			errs = append(errs, err, s.driver.Close())
		}
		s.driver = nil
	}
	return errors.Join(append(errs, s.catalog.close())...)
}
