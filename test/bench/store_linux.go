package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/metadatatest"
	"github.com/veneerdm/veneer/snapshots"
)

// poolSize is of sparse files; only what is written takes space.
const poolSize = 20 << 30

// store is a driver's store on loop files, with a committed snapshot called "base"
// and whoever issues bare ioctls beside it.
type store struct {
	b      *bench
	config snapshots.Config
	pool   string
	driver *snapshots.Driver
	bare   *bare
	base   snapshots.Info
}

const baseKey = "base"

func (b *bench) newStore(ctx context.Context, name string) (s *store, err error) {
	s = &store{b: b, pool: "bench-" + name}
	s.config = snapshots.Config{
		Root: filepath.Join(b.dir, name), DM: b.dm, Admit: snapshots.DefaultAdmission,
		OpenCatalog: func(path string, o metadata.Options) (snapshots.Catalog, error) {
			return metadatatest.Open(path, o, b.counter.transaction)
		},
	}
	s.driver, err = snapshots.CreatePool(ctx, s.config, snapshots.PoolOptions{Name: s.pool, DataSize: poolSize})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.destroy())
		}
	}()
	if s.bare, err = newBare(b.kernel, s.pool); err != nil {
		return nil, err
	}
	if err = s.commitFiles(ctx, baseKey, ""); err != nil {
		return nil, err
	}
	s.base, err = s.driver.Stat(ctx, baseKey)
	return s, err
}

// commitFiles commits a snapshot of parent that some files were written into.
func (s *store) commitFiles(ctx context.Context, name, parent string) error {
	m, err := s.driver.Prepare(ctx, "making "+name, parent)
	if err == nil {
		err = writeFiles(m)
	}
	if err == nil {
		err = s.driver.Commit(ctx, name, "making "+name)
	}
	return err
}

// destroy takes the pool away. It is done whatever happened before.
func (s *store) destroy() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := s.driver.Drain(ctx)
	return errors.Join(err, s.driver.DestroyPool(ctx))
}

// reopen ends the driver and begins another, as a restart of the program does.
func (s *store) reopen(ctx context.Context) (err error) {
	s.driver, err = snapshots.Open(ctx, s.config)
	return err
}

// gone removes a snapshot and waits until nothing is left of it.
func (s *store) gone(ctx context.Context, key string) error {
	return errors.Join(s.driver.Remove(ctx, key), s.driver.Drain(ctx))
}

// fill makes snapshots until the store has n: half of them active, of one image as
// on a busy node, half of them committed and on top of each other at random. All but
// the last hundred active ones are deactivated, as after a reboot.
func (s *store) fill(ctx context.Context, n int) error {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	committed := []string{baseKey}
	for i := 1; i < n; i++ {
		key := fmt.Sprintf("snapshot-%06d", i)
		if i%2 == 0 {
			m, err := s.driver.Prepare(ctx, key, baseKey)
			if err == nil && i < n-2*liveOnes {
				err = s.deactivate(m)
			}
			if err != nil {
				return err
			}
			continue
		}
		parent := committed[r.IntN(len(committed))]
		if _, err := s.driver.Prepare(ctx, "making "+key, parent); err != nil {
			return err
		}
		if err := s.driver.Commit(ctx, key, "making "+key); err != nil {
			return err
		}
		committed = append(committed, key)
	}
	return nil
}

const liveOnes = 100

func (s *store) deactivate(m snapshots.Mount) error {
	name, err := devmapper.NewName(filepath.Base(m.Source))
	if err != nil {
		return err
	}
	return s.b.dm.Remove(devmapper.ByName(name))
}

// writeFiles does what a small step of a build does, and unmounts.
func writeFiles(m snapshots.Mount) error {
	tree, err := m.Open()
	if err != nil {
		return err
	}
	for i := range 20 {
		name := fmt.Sprintf("%s/file-%02d", tree.Path(), i)
		if err := os.WriteFile(name, make([]byte, 3000+500*i), 0o644); err != nil {
			return errors.Join(err, tree.Close())
		}
	}
	return tree.Close()
}
