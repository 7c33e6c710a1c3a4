package metamorphic_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/lifetest"
	"github.com/veneerdm/veneer/test/resulttest"
)

// Lives that cross: several goroutines have the same few keys. What each of them is
// answered depends on the others, so it is not compared with a model; but every answer
// has to be one that some order of the operations gives, and the store has to be whole.

// crossing is one goroutine's random operations.
type crossing struct {
	d *snapshots.Driver
	r *rand.Rand
}

func (c crossing) active() string { return fmt.Sprint("active", c.r.IntN(4)) }
func (c crossing) layer() string  { return fmt.Sprint("layer", c.r.IntN(3)) }

func (c crossing) parent() string {
	if c.r.IntN(3) == 0 {
		return ""
	}
	return c.layer()
}

func (c crossing) any() string {
	return [...]func() string{c.active, c.layer}[c.r.IntN(2)]()
}

// next does something and says what.
func (c crossing) next(ctx context.Context) (did string, err error) {
	key, other := c.active(), c.any()
	switch c.r.IntN(13) {
	case 0, 1, 2:
		parent := c.parent()
		_, err := c.d.Prepare(ctx, key, parent)
		return fmt.Sprintf("prepare %s of %q", key, parent), err
	case 3:
		_, err := c.d.View(ctx, key, c.parent())
		return "view " + key, err
	case 4:
		_, err := c.d.Clone(ctx, key, other)
		return "clone " + key + " of " + other, err
	case 5:
		name := c.layer()
		return "commit " + key + " as " + name, c.d.Commit(ctx, name, key)
	case 6:
		to := []string{"", other}[c.r.IntN(2)]
		_, err := c.d.Rollback(ctx, key, to)
		return fmt.Sprintf("roll back %s to %q", key, to), err
	case 7:
		return "resize " + key, c.d.Resize(ctx, key, lifetest.BaseSize+uint64(c.r.IntN(64))<<20)
	case 8, 9:
		return "remove " + other, c.d.Remove(ctx, other)
	case 10:
		_, err := c.d.Usage(ctx, other)
		return "measure " + other, err
	case 11:
		_, err := c.d.Freed(ctx, key, other)
		return "measure " + key + " and " + other, err
	default:
		_, err := c.d.Mounts(ctx, other)
		return "mount " + other, err
	}
}

// theirs says whether what others did can be the reason of an error.
func theirs(err error) bool {
	for _, class := range []error{snapshots.ErrNotFound, snapshots.ErrExists, snapshots.ErrInUse, snapshots.ErrInvalid} {
		if errors.Is(err, class) {
			return true
		}
	}
	return err == nil
}

// cross lives such lives at once on a new store, and looks whether it is whole.
func cross(t *testing.T, m snapstest.Machine, seed uint64, goroutines, length int) {
	t.Helper()
	ctx := t.Context()
	options := m.Options()
	options.BaseSize = lifetest.BaseSize
	d, err := snapshots.CreatePool(ctx, m.Config(), options)
	require.NoError(t, err)
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			c := crossing{d, rand.New(rand.NewPCG(seed, uint64(g)))}
			for range length {
				did, err := c.next(ctx)
				assert.True(t, theirs(err), "%s: %v", did, err)
			}
		})
	}
	group.Wait()

	live := &lifetest.Live{D: d, Mount: lifetest.On(t, m)}
	w, err := live.Look(ctx, nil) // mounts each of them
	require.NoError(t, err)
	for _, key := range w.Keys() {
		if w[key].Kind == snapshots.KindView {
			continue
		}
		_, err := d.Usage(ctx, key)
		assert.NoError(t, err)
	}
	assert.NoError(t, sweep(ctx, live, w))
	require.NoError(t, d.DestroyPool(ctx))
	assert.Empty(t, m.LeftOver(t))
}

func TestCrossingLivesOnTheFake(t *testing.T) {
	const goroutines, length = 6, 100
	row, end := resulttest.Begin(t, "crossing lives on the fake kernel", *seed)
	defer end()
	for n := range *lives {
		cross(t, snapstest.NewFake(t), *seed+uint64(n), goroutines, length)
		row.Points += goroutines * length
	}
}
