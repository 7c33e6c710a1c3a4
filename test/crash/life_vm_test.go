package crash_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/filesystem"
	"github.com/veneerdm/veneer/snapshots/snapstest"
	"github.com/veneerdm/veneer/test/lifetest"
)

// volume is a snapshot mounted where nobody sees it.
type volume struct{ tree *filesystem.Tree }

func mountPrivately(m snapshots.Mount) (snapstest.Volume, error) {
	tree, err := m.Open()
	return volume{tree}, err
}

func (v volume) Put(name, content string) error {
	return os.WriteFile(v.tree.Path()+"/"+name, []byte(content), 0o644)
}

func (v volume) Get(name string) (string, error) {
	b, err := os.ReadFile(v.tree.Path() + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(b), err
}

func (v volume) Size() uint64   { return 0 }
func (v volume) Unmount() error { return v.tree.Close() }

// randomWork is a random life after the fixed one: the same verbs in other orders. The
// layers of the image and what the fixed life left stay as they are.
func (r *rig) randomWork(seed uint64, n int, before world) []step {
	w := lifetest.World{"boxed": {Kind: snapshots.KindCommitted, Content: before["boxed"], Size: lifetest.BaseSize}}
	life := lifetest.Life{R: rand.New(rand.NewPCG(seed, 0)), Prefix: "r-", Most: 6}
	var steps []step
	for i := range n {
		o := life.Next(w)
		if o.Key == "boxed" || o.Verb == lifetest.Resize && i%4 > 0 {
			o = lifetest.Op{Verb: lifetest.Drain}
		}
		next, err := w.Apply(o)
		require.NoError(r.t, err)
		w = next
		after := maps.Clone(before)
		maps.Copy(after, w.Contents())
		s := step{name: fmt.Sprintf("%d: %s", i, o), after: after, do: func(ctx context.Context, d *snapshots.Driver) error {
			return (&lifetest.Live{D: d, Mount: mountPrivately}).Do(ctx, o)
		}}
		if o.Verb == lifetest.Write {
			s.loose = o.Key
		}
		steps = append(steps, s)
	}
	return steps
}
