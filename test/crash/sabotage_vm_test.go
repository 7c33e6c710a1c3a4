//go:build sabotage

package crash_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
)

// skipTrash is a catalog that forgets what is removed.
type skipTrash struct{ *metadata.Catalog }

func (c skipTrash) Remove(was metadata.Snapshot) (metadata.Snapshot, error) {
	s, err := c.Catalog.Remove(was)
	if err == nil && s.OwnsThin() {
		err = c.Forget(s.Thin)
	}
	return s, err
}

// lateRecords is a catalog that records a new snapshot when it is asked for something
// else the next time, and not before the pool makes it.
type lateRecords struct {
	*metadata.Catalog
	mu      sync.Mutex
	pending []metadata.Snapshot
}

func (c *lateRecords) Create(s metadata.Snapshot, of ...metadata.Snapshot) (metadata.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.Catalog.Create(s, of...)
	if err == nil && s.OwnsThin() {
		_, err = c.Remove(s)
		err = errors.Join(err, c.Forget(s.Thin))
		c.pending = append(c.pending, s)
	}
	return s, err
}

// write records what was postponed. Whoever comes meanwhile waits for it, so that within
// the process nobody sees the mistake.
func (c *lateRecords) write() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return nil
	}
	err := c.Adopt(c.pending)
	c.pending = nil
	return err
}

func (c *lateRecords) Get(key string) (metadata.Snapshot, error) {
	if err := c.write(); err != nil {
		return metadata.Snapshot{}, err
	}
	return c.Catalog.Get(key)
}

func (c *lateRecords) Snapshots() ([]metadata.Snapshot, error) {
	if err := c.write(); err != nil {
		return nil, err
	}
	return c.Catalog.Snapshots()
}

func (c *lateRecords) Thins() ([]metadata.Thin, error) {
	if err := c.write(); err != nil {
		return nil, err
	}
	return c.Catalog.Thins()
}

// Trash waits for a Create in progress, whose id is in the trash for a moment: the reaper
// would delete what the pool is about to make.
func (c *lateRecords) Trash() ([]metadata.Trash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Catalog.Trash()
}

func (c *lateRecords) Close() error { return errors.Join(c.write(), c.Catalog.Close()) }

// with opens catalogs that are broken in one way.
func with(wrap func(*metadata.Catalog) snapshots.Catalog) func(*snapshots.Config) {
	return func(config *snapshots.Config) {
		config.OpenCatalog = func(path string, o metadata.Options) (snapshots.Catalog, error) {
			c, err := metadata.Open(path, o)
			if err != nil {
				return nil, err
			}
			return wrap(c), nil
		}
	}
}

// The negative controls: a driver that breaks the protocol has to be caught, or the
// test above proves nothing.
func TestPowerCutsWouldBeNoticed(t *testing.T) {
	row, end := resulttest.Begin(t, "power cut, broken on purpose", *seed)
	defer end()
	for _, control := range []struct {
		name     string
		sabotage func(*snapshots.Config)
	}{
		{"the catalog's fsync dropped", func(*snapshots.Config) { metadata.DropSync(true) }},
		{"the trash skipped", with(func(c *metadata.Catalog) snapshots.Catalog { return skipTrash{c} })},
		{"steps 1 and 2 exchanged", with(func(c *metadata.Catalog) snapshots.Catalog { return &lateRecords{Catalog: c} })},
	} {
		t.Run(control.name, func(t *testing.T) {
			defer metadata.DropSync(false)
			r := newRig(t)
			p := r.play(trial{filesystem: "ext4", sabotage: control.sabotage, points: 150, rounds: 20, enough: 1})
			row.Controls++
			row.Points += p.points
			require.NotEmpty(t, p.violations)
			row.Caught++
			t.Logf("for instance: %s", p.violations[0])
		})
	}
}
