package snapshots_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/test/resulttest"
)

// make makes what a row is about, by hand, in a store that nobody has open. It gives the
// thin id.
func (c *crashed) make(o lifecycle.Observed) (id dmthin.ThinID) {
	c.t.Helper()
	must := func(err error) { c.t.Helper(); require.NoError(c.t, err) }
	c.catalog(func(cat *metadata.Catalog) {
		create := func(s metadata.Snapshot) metadata.Snapshot {
			s, err := cat.Create(s)
			must(err)
			if o.State != lifecycle.Creating {
				cat.Acknowledge(s)
			}
			return s
		}
		var err error
		active := metadata.Snapshot{Key: "subject", Kind: metadata.Active, Size: 64 << 20, Filesystem: "ext4"}
		switch o.State {
		case lifecycle.Unrecorded:
			id = 4711
		case lifecycle.Reserved, lifecycle.Template:
			id, err = cat.Reserve(64<<20, "subject")
			must(err)
			if o.State == lifecycle.Template {
				must(cat.AddTemplate(metadata.Template{Name: "subject", Thin: id, Size: 64 << 20, Filesystem: "ext4"}))
			}
		case lifecycle.Creating, lifecycle.Active:
			id = create(active).Thin
		case lifecycle.Trash:
			s := create(active)
			_, err = cat.Remove(s)
			must(err)
			id = s.Thin
		case lifecycle.Committed, lifecycle.Lost:
			s, err := cat.Commit(create(active), "subject", nil)
			must(err)
			child := create(metadata.Snapshot{Key: "child", Parent: "subject", Kind: metadata.Active, Size: 64 << 20, Filesystem: "ext4"})
			c.message(fmt.Sprintf("create_snap %s 1", child.Thin))
			if o.Viewed {
				create(metadata.Snapshot{Key: "seen", Parent: "subject", Kind: metadata.View, Size: 64 << 20, Filesystem: "ext4"})
			}
			if o.State == lifecycle.Lost {
				must(cat.MarkLost(s))
			}
			id = s.Thin
		}
		if o.State == lifecycle.Template && o.Viewed {
			create(metadata.Snapshot{Key: "seen", Kind: metadata.View, Thin: id, Size: 64 << 20, Filesystem: "ext4"})
		}
	})
	c.message(fmt.Sprintf("create_snap %s 1", id))
	c.device(id, o.Device)
	if !o.InPool {
		require.True(c.t, c.m.Kernel.LoseThin(fakeMetadata, uint32(id)))
	}
	return id
}

// device gives a thin id the device that a row wants.
func (c *crashed) device(id dmthin.ThinID, want lifecycle.Device) {
	c.t.Helper()
	if want == lifecycle.NoDevice {
		return
	}
	require.NoError(c.t, c.m.Kernel.CreateDevice("fake-thin-"+id.String(), "VENEER-fake-"+id.String()))
	if want == lifecycle.NoTable {
		return
	}
	ref := c.ref("fake-thin-" + id.String())
	pool, err := c.dm.Info(c.ref("fake"))
	require.NoError(c.t, err)
	table := devmapper.Single(devmapper.Sectors(64<<20/devmapper.SectorSize), devmapper.Thin{Pool: pool.Dev, ID: uint32(id)})
	require.NoError(c.t, c.dm.Load(ref, table, devmapper.ReadWrite))
	require.NoError(c.t, c.dm.Resume(ref))
	if want == lifecycle.Suspended {
		require.NoError(c.t, c.dm.Suspend(ref, 0))
	}
}

// Every row of the start-up table, made by hand: the store opens and serves everything
// else; so does it when the process that opens it, or the doctor, dies after any of its
// steps; the doctor then finds nothing but what is lost, and nothing of anybody's is gone.
func TestEveryRowIsCuredAndDeathsOnTheWay(t *testing.T) {
	row, end := resulttest.Begin(t, "start-up rows, and deaths of their cures", 0)
	defer end()
	for _, r := range lifecycle.Rows() {
		if r.Older {
			continue // TestAnOlderCatalogDeletesNothing
		}
		t.Run(strings.ReplaceAll(r.String(), " ", "_"), func(t *testing.T) {
			for steps, died := -1, true; died; steps++ {
				require.Less(t, steps, 60)
				f := newFaulty(t)
				require.NoError(t, f.held.Unmount())
				require.NoError(t, f.d.Close())
				c := &crashed{t, f.m, devmapper.New(f.m.Kernel)}
				id := c.make(r.Observed)
				if died = steps < 0; !died {
					died = f.recoverOrDie(steps)
				}
				f.cured(c, r, id)
				row.Points++
			}
		})
	}
}

// cured is what there is after the doctor's visit.
func (f *faulty) cured(c *crashed, r lifecycle.Row, id dmthin.ThinID) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	_, err := snapshots.Examine(ctx, f.config(), true)
	require.NoError(t, err)
	findings, err := snapshots.Examine(ctx, f.config(), true)
	require.NoError(t, err)
	lost := !r.InPool && (r.State == lifecycle.Active || r.State == lifecycle.Committed || r.State == lifecycle.Lost)
	for _, finding := range findings {
		require.True(t, lost && strings.Contains(finding.What, "is lost"), finding.What)
	}
	f.open(step(0))
	f.nothingSuspended(step(0))
	keys := map[string]string{"base": "base", "idle": "idle", "held": "held", "view": "base"}
	require.Equal(t, keys, f.all(ctx, keys), "everything else is served")
	if r.State == lifecycle.Committed || r.State == lifecycle.Lost {
		require.Equal(t, "base", f.content(ctx, "child"), "children are whole")
	}
	require.NoError(t, f.d.Drain(ctx))
	pool, ok := f.m.Kernel.Pool(fakeMetadata)
	require.True(t, ok)
	_, there := pool.Thins[uint32(id)]
	gone := r.State == lifecycle.Trash || r.State == lifecycle.Reserved
	require.Equal(t, r.InPool && !gone, there, "nothing is deleted but what was trash")
	info, err := f.d.Pool(ctx)
	require.NoError(t, err)
	require.Empty(t, info.Unknown)
	require.Zero(t, info.Trash)
	require.NoError(t, f.d.Close())
}
