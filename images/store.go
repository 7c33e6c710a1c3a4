package images

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/veneerdm/veneer/images/content"
	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/internal/keylock"
)

// Config says what a Store works with. Root and Snapshots are required.
type Config struct {
	// Root is a directory of the Store's own: it keeps blobs in Root/content.
	Root string
	// Snapshots is the driver.
	Snapshots Snapshots
	// Mount mounts its snapshots. Default: snapshots.Mount.Open.
	Mount Mounter
	// Limits bound what a layer may do; the zero value stands for the defaults.
	Limits layer.Limits
	// Keychain finds credentials for registries. Default: docker's configuration.
	Keychain authn.Keychain
	// Explain, when set, is asked why a snapshot could not be written, while what
	// stopped it is still so. It gives the error it was given, or one that wraps it and
	// says more.
	Explain func(ctx context.Context, err error) error
	// Warn, when set, hears in one sentence of what was left out of a layer. It may
	// be called from several goroutines.
	Warn func(message string)
}

// Store brings images into snapshots and out of them. It is safe for concurrent
// use. Only one Store at a time may use a Root and a driver.
type Store struct {
	root      string
	snapshots Snapshots
	mount     Mounter
	catalog   catalog
	content   *content.Store
	limits    layer.Limits
	keychain  authn.Keychain
	explain   func(context.Context, error) error
	warn      func(string)

	blobLocks  keylock.Locks[string] // by digest: one fetch at a time
	layerLocks keylock.Locks[string] // by ChainID: one apply or removal at a time
	nameLocks  keylock.Locks[string] // by image name: one change of a record at a time
	pins       pins
}

// Open makes the Store ready. It removes nothing, so that shell completion disturbs no
// import: what crashed operations left is harmless and stays until it is taken up again
// or Collect removes it.
func Open(cfg Config) (*Store, error) {
	if cfg.Root == "" || cfg.Snapshots == nil {
		return nil, errors.New("images: Root and Snapshots are required")
	}
	s := &Store{
		root: cfg.Root, snapshots: cfg.Snapshots, mount: cfg.Mount, catalog: catalog{cfg.Snapshots},
		limits: cfg.Limits, keychain: cfg.Keychain, explain: cfg.Explain, warn: cfg.Warn,
	}
	if s.mount == nil {
		s.mount = openMount
	}
	if s.keychain == nil {
		s.keychain = authn.DefaultKeychain
	}
	if s.explain == nil {
		s.explain = func(_ context.Context, err error) error { return err }
	}
	if s.warn == nil {
		s.warn = func(string) {}
	}
	var err error
	s.content, err = content.Open(filepath.Join(cfg.Root, "content"))
	return s, err
}

// pins counts who is working with which blobs and layers, so that nobody removes
// what an import has found to be there already. Keys are digests and ChainIDs.
type pins struct {
	mu      sync.Mutex
	n       map[string]int
	dropped uint64 // how often something was dropped
}

func (p *pins) add(keys ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == nil {
		p.n = map[string]int{}
	}
	for _, k := range keys {
		p.n[k]++
	}
}

func (p *pins) drop(keys ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped++
	for _, k := range keys {
		if p.n[k]--; p.n[k] == 0 {
			delete(p.n, k)
		}
	}
}

// drops counts calls of drop. An operation records an image before it drops its pins.
func (p *pins) drops() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

func (p *pins) held(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n[key] > 0
}

// pinSet is what one operation has pinned.
type pinSet struct {
	pins *pins
	keys []string
}

func (s *pinSet) add(keys ...string) {
	s.pins.add(keys...)
	s.keys = append(s.keys, keys...)
}

func (s *pinSet) drop() { s.pins.drop(s.keys...) }
