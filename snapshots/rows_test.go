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
	if o.Older { // the pool has gone on without the catalog
		for range 8 {
			c.message("create_snap 9000 1")
			c.message("delete 9000")
		}
	}
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
		name := strings.ReplaceAll(r.String(), " ", "_")
		if r.Older {
			name += ",_catalog_older"
		}
		t.Run(name, func(t *testing.T) {
			for steps, died := -1, true; died; steps++ {
				require.Less(t, steps, 60)
				f, id := storeWith(t, r.Observed)
				if died = steps < 0; !died {
					died = f.recoverOrDie(steps)
				}
				f.others(r.Observed)
				require.Empty(t, f.cured(f.config(), r, id))
				row.Points++
			}
		})
	}
}

// storeWith is a store that nobody has open, with what a row is about.
func storeWith(t *testing.T, o lifecycle.Observed) (*faulty, dmthin.ThinID) {
	t.Helper()
	f := newFaulty(t)
	require.NoError(t, f.held.Unmount())
	require.NoError(t, f.d.Close())
	c := &crashed{t, f.m, devmapper.New(f.m.Kernel)}
	id := c.make(o)
	c.catalog(func(cat *metadata.Catalog) {
		pool, ok := f.m.Kernel.Pool(fakeMetadata)
		require.True(t, ok)
		if o.Older {
			require.Greater(t, pool.Time, cat.Clock(), "the catalog is older than the pool")
		} else if o.State != lifecycle.Unrecorded { // which nobody counted
			require.LessOrEqual(t, pool.Time, cat.Clock())
		}
	})
	return f, id
}

// others opens the store before any doctor has come, and asks that everything but the
// subject is served, with its content, its children too.
func (f *faulty) others(o lifecycle.Observed) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	f.open(step(0))
	require.NoError(t, f.d.Drain(ctx)) // the trash's devices are the reaper's
	f.nothingSuspended(step(0))
	keys := map[string]string{"base": "base", "idle": "idle", "held": "held", "view": "base"}
	if o.State == lifecycle.Committed || o.State == lifecycle.Lost {
		keys["child"] = "base"
	}
	require.Equal(t, keys, f.all(ctx, keys), "everything else is served")
	require.NoError(t, f.d.Close())
}

// cured has the doctor mend a store, and gives what is wrong afterwards.
func (f *faulty) cured(c snapshots.Config, r lifecycle.Row, id dmthin.ThinID) (wrong []string) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if _, err := snapshots.Examine(ctx, c, true); err != nil {
		bad("the doctor: %v", err)
		return wrong
	}
	findings, err := snapshots.Examine(ctx, f.config(), false)
	require.NoError(t, err)
	lost := !r.InPool && (r.State == lifecycle.Active || r.State == lifecycle.Committed || r.State == lifecycle.Lost ||
		r.State == lifecycle.Template && r.Viewed)
	for _, finding := range findings {
		if !lost || !strings.Contains(finding.What, "is lost") {
			bad("after the doctor: %s", finding.What)
		}
	}
	f.open(step(0))
	for _, err := range []error{f.d.Drain(ctx), f.subject(r, id)} {
		if err != nil {
			bad("%v", err)
		}
	}
	pool, ok := f.m.Kernel.Pool(fakeMetadata)
	require.True(t, ok)
	_, there := pool.Thins[uint32(id)]
	given := r.State == lifecycle.Trash || r.State == lifecycle.Reserved && !r.Older
	if there != (r.InPool && !given) {
		bad("the pool has thin %s: %t", id, there)
	}
	info, err := f.d.Pool(ctx)
	require.NoError(t, err)
	if len(info.Unknown) > 0 || info.Trash > 0 {
		bad("%d unknown, %d in the trash", len(info.Unknown), info.Trash)
	}
	require.NoError(t, f.d.Close())
	return wrong
}

// subject reads what a row is about, if it is anybody's after the cure.
func (f *faulty) subject(r lifecycle.Row, id dmthin.ThinID) error {
	key := "subject"
	switch {
	case !r.InPool || r.State == lifecycle.Trash || r.State == lifecycle.Template || r.State == lifecycle.Reserved && !r.Older:
		return nil
	case r.State == lifecycle.Unrecorded || r.State == lifecycle.Reserved:
		key = "recovered-" + id.String()
	}
	i, err := f.d.Stat(f.t.Context(), key)
	if err != nil {
		return err
	}
	if i.Lost {
		return fmt.Errorf("%q is lost, and the pool has it", key)
	}
	if got := f.content(f.t.Context(), key); got != "base" {
		return fmt.Errorf("%q holds %q", key, got)
	}
	return nil
}

// forgets is a catalog that does not do one of its changes and says that it did, or, with
// the change "keep", deletes what it is to adopt.
type forgets struct {
	snapshots.Catalog
	change string
}

func (c forgets) MarkLost(all ...metadata.Snapshot) error {
	if c.change == "mark lost" {
		return nil
	}
	return c.Catalog.MarkLost(all...)
}

func (c forgets) MarkFound(all ...metadata.Snapshot) error {
	if c.change == "mark found" {
		return nil
	}
	return c.Catalog.MarkFound(all...)
}

func (c forgets) Release(ids ...dmthin.ThinID) error {
	if c.change == "release" {
		return nil
	}
	return c.Catalog.Release(ids...)
}

func (c forgets) Forget(ids ...dmthin.ThinID) error {
	if c.change == "forget" {
		return nil
	}
	return c.Catalog.Forget(ids...)
}

func (c forgets) Adopt(all []metadata.Snapshot) error {
	if c.change == "adopt" {
		return nil
	}
	err := c.Catalog.Adopt(all)
	for i := 0; c.change == "keep" && err == nil && i < len(all); i++ {
		var s metadata.Snapshot
		if s, err = c.Get(all[i].Key); err == nil {
			_, err = c.Remove(s)
		}
	}
	return err
}

// The negative controls: a cure that forgets one of its changes, or deletes what it is to
// adopt, is caught at some row.
func TestForgottenCuresWouldBeNoticed(t *testing.T) {
	row, end := resulttest.Begin(t, "start-up rows, cures broken on purpose", 0)
	defer end()
	for _, change := range []string{"mark lost", "mark found", "release", "forget", "adopt", "keep"} {
		row.Controls++
		caught := false
		for _, r := range lifecycle.Rows() {
			if caught || len(r.Actions) == 0 || r.Device != lifecycle.NoDevice {
				continue
			}
			f, id := storeWith(t, r.Observed)
			c := f.config()
			open := c.OpenCatalog
			c.OpenCatalog = func(path string, o metadata.Options) (snapshots.Catalog, error) {
				opened, err := open(path, o)
				if err != nil {
					return nil, err
				}
				return forgets{opened, change}, nil
			}
			row.Points++
			caught = len(f.cured(c, r, id)) > 0
		}
		if caught {
			row.Caught++
		} else {
			t.Errorf("nobody notices that a cure forgets to %s", change)
		}
	}
}
