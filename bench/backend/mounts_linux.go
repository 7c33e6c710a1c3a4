package backend

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// mounts is what a store has mounted, each in a folder of the store's by its name. It
// is safe for concurrent use.
type mounts struct {
	dir string

	mu   sync.Mutex
	dirs map[string]string // by name
}

// at mounts m and says where.
func (s *mounts) at(name string, m snapshots.Mount) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := m.At(dir); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirs == nil {
		s.dirs = map[string]string{}
	}
	s.dirs[name] = dir
	return dir, nil
}

// all is where something is mounted, by name.
func (s *mounts) all() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.dirs)
}

func (s *mounts) unmount(name string) error {
	dir := s.all()[name]
	if err := filesystem.Unmount(dir); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.dirs, name)
	s.mu.Unlock()
	return os.Remove(dir)
}

// close unmounts all.
func (s *mounts) close() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.all())) {
		errs = append(errs, s.unmount(name))
	}
	return errors.Join(errs...)
}
