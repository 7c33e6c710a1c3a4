package snapshots

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/thinpool"
)

// owner is what the catalog says of a thin id.
type owner string

const (
	ofCreating  owner = "a snapshot that may not be acknowledged"
	ofActive    owner = "an active snapshot"
	ofCommitted owner = "a committed snapshot"
	ofTemplate  owner = "a template"
	ofTrash     owner = "trash"
	ofNobody    owner = "nobody"
)

// liveness is what the kernel says of a thin id's device.
type liveness string

const (
	dead      liveness = "not active"
	running   liveness = "active"
	suspended liveness = "suspended"
)

// action is what a start does about a thin id.
type action string

const (
	keep       action = "nothing"
	rollBack   action = "drop the record"   // it was never made
	forget     action = "drop the entry"    // it is deleted already
	resume     action = "resume the device" // somebody died between suspend and resume
	deactivate action = "deactivate it"     // nobody looks at it
	report     action = "report it"         // no crash leaves this; a person may know
	refuse     action = "refuse to start"   // something acknowledged is gone
)

// decide is the start-up table: one row, one action for every combination of what
// the catalog, the pool's metadata and the live devices say.
func decide(o owner, inPool bool, l liveness, viewed bool) action {
	if !inPool {
		switch {
		case l != dead:
			return refuse // an active thin device cannot be deleted
		case o == ofCreating:
			return rollBack
		case o == ofTrash:
			return forget
		case o == ofNobody:
			return keep
		default:
			return refuse
		}
	}
	switch o {
	case ofNobody:
		return report
	case ofTrash:
		return keep // the reaper's
	case ofCommitted, ofTemplate:
		if l != dead && !viewed {
			return deactivate
		}
	}
	if l == suspended {
		return resume
	}
	return keep
}

// truths is what the three sources say about one thin id.
type truths struct {
	id     dmthin.ThinID
	key    string // the snapshot's or template's
	owner  owner
	inPool bool
	live   liveness
	viewed bool
}

func (t truths) action() action { return decide(t.owner, t.inPool, t.live, t.viewed) }

func (t truths) String() string {
	where := "the pool has it"
	if !t.inPool {
		where = "the pool does not have it"
	}
	who := string(t.owner)
	if t.key != "" {
		who += fmt.Sprintf(" %q", t.key)
	}
	return fmt.Sprintf("thin %s of %s: %s, its device is %s", t.id, who, where, t.live)
}

// compare reads all three sources.
func (d *Driver) compare(ctx context.Context) ([]truths, error) {
	byID := map[dmthin.ThinID]*truths{}
	at := func(id dmthin.ThinID) *truths {
		t := byID[id]
		if t == nil {
			t = &truths{id: id, owner: ofNobody, live: dead}
			byID[id] = t
		}
		return t
	}
	if err := d.compareCatalog(at); err != nil {
		return nil, err
	}
	err := d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		d.readClock(m)
		devices, err := m.Devices(ctx)
		for _, dev := range devices {
			at(dev.ID).inPool = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	lives, err := d.pool.Lives()
	if err != nil {
		return nil, err
	}
	for _, id := range lives {
		live, err := d.pool.Lookup(id)
		if err != nil {
			return nil, err
		}
		if live == nil {
			continue
		}
		at(id).live = running
		if live.Suspended {
			at(id).live = suspended
		}
	}
	all := make([]truths, 0, len(byID))
	for _, t := range byID {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b truths) int { return int(a.id) - int(b.id) })
	return all, nil
}

func (d *Driver) compareCatalog(at func(dmthin.ThinID) *truths) error {
	snapshots, err := d.catalog.Snapshots()
	if err != nil {
		return err
	}
	templates, err := d.catalog.Templates()
	if err != nil {
		return err
	}
	trash, err := d.catalog.Trash()
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		t := at(s.Thin)
		switch {
		case s.Kind == metadata.View:
			t.viewed = true
			continue
		case s.Kind == metadata.Committed:
			t.owner = ofCommitted
		case s.State == metadata.Creating:
			t.owner = ofCreating
		default:
			t.owner = ofActive
		}
		t.key = s.Key
	}
	for _, tpl := range templates {
		t := at(tpl.Thin)
		t.owner, t.key = ofTemplate, tpl.Name
	}
	for _, e := range trash {
		at(e.Thin).owner = ofTrash
	}
	return nil
}

// reconcile carries out the start-up table.
func (d *Driver) reconcile(ctx context.Context) error {
	if err := d.catalog.ReleaseAll(); err != nil {
		return class.Ensure(err)
	}
	all, err := d.compare(ctx)
	if err != nil {
		return fmt.Errorf("compare the catalog with the pool: %w", class.Ensure(err))
	}
	for _, t := range all {
		if t.action() == refuse {
			return fmt.Errorf("%w: %s; run \"veneer doctor\"", ErrInconsistent, t)
		}
	}
	d.unknown = nil
	var gone []dmthin.ThinID
	for _, t := range all {
		log := d.log.WithField("thin", t.id)
		switch t.action() {
		case rollBack:
			log.WithField("key", t.key).Warn("snapshot was never finished and is dropped")
			if err := d.dropRecord(t.key); err != nil {
				return class.Ensure(err)
			}
			gone = append(gone, t.id)
		case forget:
			gone = append(gone, t.id)
		case resume:
			log.WithField("key", t.key).Warn("device was left suspended and is resumed")
			err = d.pool.ResumeThin(t.id)
		case deactivate:
			_, err = d.pool.DeactivateThinDeferred(t.id)
		case report:
			log.Warn("the pool has a thin device that the catalog does not know; see \"veneer doctor\"")
			d.unknown = append(d.unknown, t.id)
		}
		if err != nil {
			return fmt.Errorf("start-up, %s, to %s: %w", t, t.action(), class.Ensure(err))
		}
	}
	d.catalog.SkipThins(d.unknown)
	if len(gone) > 0 {
		return class.Ensure(d.catalog.Forget(gone...))
	}
	return nil
}

func (d *Driver) dropRecord(key string) error {
	s, err := d.catalog.Get(key)
	if err == nil {
		_, err = d.catalog.Remove(s)
	}
	return err
}

// explainMissing tells a missing catalog from a lost one: devices that are active
// say that there was one.
func (d *Driver) explainMissing(err error) error {
	if errors.Is(err, metadata.ErrCorrupt) {
		return fmt.Errorf("%w; nothing was written; see \"veneer doctor\", and put a good copy back or have \"veneer doctor --fix\" mend it", class.Ensure(err))
	}
	if !errors.Is(err, metadata.ErrNotFound) {
		return class.Ensure(err)
	}
	const cure = "put the catalog back, or have \"veneer doctor --fix\" make one of what the pool tells"
	if files := d.poolFiles(); len(files) > 0 {
		return fmt.Errorf("%w: %w, but %s holds a pool; %s", ErrInconsistent, err, files[0], cure)
	}
	entries, listErr := d.dm.List("")
	if listErr != nil {
		return errors.Join(class.Ensure(err), listErr)
	}
	for _, e := range entries {
		if len(e.UUID) > len(thinpool.UUIDPrefix) && e.UUID[:len(thinpool.UUIDPrefix)] == thinpool.UUIDPrefix && d.ours(e) {
			return fmt.Errorf("%w: %w, but the device %s of this store is active; %s", ErrInconsistent, err, e.Name, cure)
		}
	}
	return fmt.Errorf("%w; make a pool with \"veneer pool create\"", class.Ensure(err))
}

// ours says whether a device stands on files in the store's folder.
func (d *Driver) ours(e devmapper.Entry) bool {
	deps, err := d.dm.Deps(devmapper.ByDev(e.Dev))
	if err != nil {
		return false
	}
	for _, dev := range deps {
		if disk.BackedBelow(dev, d.config.Root) {
			return true
		}
	}
	return false
}
