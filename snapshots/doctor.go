package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/lifecycle"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	What string // is wrong
	Cure string // what Examine does about it when asked to
	Done bool   // it was done
}

// Examine compares the catalog, the pool's metadata and the kernel's devices, and tells
// where they disagree. With fix set it carries out the cures; none of them deletes a thin
// device. What cannot be mended does not keep the rest from being mended. It works where
// Open refuses, and needs the store to itself: ErrLocked otherwise.
func Examine(ctx context.Context, c Config, fix bool) (findings []Finding, err error) {
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	d.catalog, err = c.openCatalog(c.catalogPath(), metadata.Options{MustExist: true})
	if errors.Is(err, metadata.ErrNotFound) || errors.Is(err, metadata.ErrCorrupt) {
		findings, err = d.lostCatalog(ctx, err, fix)
	}
	if err != nil || d.catalog == nil {
		return findings, class.Ensure(err)
	}
	if err = d.readRecord(); err != nil {
		return nil, class.Ensure(err)
	}
	if d.disks == nil {
		d.disks = disk.ForBacking(d.record.Backing)
	}
	if d.record.State != metadata.Ready {
		f, err := d.finishDestroying(ctx, fix)
		return append(findings, f), class.Ensure(err)
	}
	if broken := d.catalog.Check(); broken != nil {
		findings = append(findings, Finding{What: broken.Error(), Cure: "none; move " + c.catalogPath() + " away, and \"veneer doctor --fix\" makes another of what the pool tells"})
	}
	spec, err := d.attach(ctx)
	if err != nil {
		return findings, err
	}
	if d.pool, err = d.openPool(ctx, spec); err != nil {
		return findings, class.Ensure(err)
	}
	more, err := d.examine(ctx, fix)
	return append(findings, more...), err
}

// finishDestroying is the cure of a pool that was never finished or never quite destroyed.
func (d *Driver) finishDestroying(ctx context.Context, fix bool) (Finding, error) {
	f := Finding{
		What: fmt.Sprintf("the pool %q was never finished, or never quite destroyed", d.record.Name),
		Cure: "take away what is left of it; \"veneer pool create\" does so too",
	}
	if !fix {
		return f, nil
	}
	if err := d.dismantle(ctx, d.record); err != nil {
		return f, err
	}
	f.Done = true
	return f, os.Remove(d.config.catalogPath())
}

func (d *Driver) examine(ctx context.Context, fix bool) (findings []Finding, err error) {
	w, err := d.pool.Working()
	if err != nil {
		return nil, class.Ensure(err)
	}
	if err := w.Writable(); err != nil {
		findings = append(findings, Finding{What: fmt.Sprintf("pool %s: %v", d.record.Name, err), Cure: "none here; grow its metadata if that is full, else run \"veneer pool deactivate\" and \"veneer pool repair\""})
	}
	more, err := d.examineThins(ctx, fix)
	findings = append(findings, more...)
	if err != nil {
		return findings, class.Ensure(err)
	}
	more, err = d.examineNodes(fix)
	findings = append(findings, more...)
	if err == nil && fix {
		d.reaper.pass(ctx)
	}
	return findings, class.Ensure(err)
}

// examineThins tells of every thin id that needs an action, and of what is lost.
func (d *Driver) examineThins(ctx context.Context, fix bool) (findings []Finding, err error) {
	all, err := d.observe(ctx)
	if err != nil {
		return nil, err
	}
	if other := notOurs(all); other != nil && slices.ContainsFunc(all, thin.mayBeDeleted) {
		return d.replaceCatalog(ctx, other, fix)
	}
	wanted := func(lifecycle.Action) bool { return fix }
	for _, t := range all {
		if t.Older && len(findings) == 0 && lifecycle.Decide(t.Observed).Needs(lifecycle.Adopt) {
			findings = append(findings, Finding{
				What: fmt.Sprintf("the catalog is older than the pool: it counts %d snapshots, the pool %d", d.catalog.Clock(), d.clock.Load()),
				Cure: "adopt what the catalog does not know; what it knows is kept as it says", Done: fix,
			})
		}
	}
	outcomes, err := d.carryOut(ctx, all, wanted)
	for _, o := range outcomes {
		f := Finding{What: o.String(), Cure: o.row.Cure(), Done: o.done(wanted)}
		if o.row.Needs(lifecycle.Adopt) && f.Done {
			f.Cure = fmt.Sprintf("it is the snapshot %q now; remove it if nobody needs it", o.Name)
		}
		if o.err != nil {
			f.Cure = fmt.Sprintf("%s: %v", f.Cure, class.Ensure(o.err))
		}
		findings = append(findings, f)
	}
	if err != nil {
		return findings, err
	}
	lost, err := d.lostSnapshots()
	return append(findings, lost...), err
}

// mayBeDeleted says that the reaper would delete it.
func (t thin) mayBeDeleted() bool {
	return t.InPool && (t.Observed.State == lifecycle.Trash || t.Observed.State == lifecycle.Reserved)
}

// replaceCatalog is the cure of a catalog that has nothing in common with the pool but ids
// in its trash: whose thin devices have those ids nobody knows, so they are not deleted for
// it. Another catalog is made of what the pool tells, and the one that was there is kept.
func (d *Driver) replaceCatalog(ctx context.Context, other error, fix bool) ([]Finding, error) {
	f := Finding{What: other.Error(), Cure: "keep this catalog aside, and make another of what the pool and its devices tell; " + unknowable}
	if !fix {
		return []Finding{f}, nil
	}
	if err := d.catalog.Close(); err != nil {
		return []Finding{f}, err
	}
	findings, err := d.rebuild(ctx)
	f.Done = err == nil
	if err == nil {
		var more []Finding // of what could not be looked at
		more, err = d.examineThins(ctx, fix)
		findings = append(findings, more...)
	}
	return append([]Finding{f}, findings...), err
}

// lostSnapshots tells of what the pool has lost and the catalog knows to be lost. Nothing
// brings it back but its maker, so it stays a finding until somebody removes it.
func (d *Driver) lostSnapshots() (findings []Finding, err error) {
	all, err := d.catalog.Snapshots()
	if err != nil {
		return nil, err
	}
	children := map[string]int{}
	for _, s := range all {
		if s.Kind != metadata.View {
			children[s.Parent]++
		}
	}
	thins, err := d.catalog.Thins()
	if err != nil {
		return nil, err
	}
	owned := map[dmthin.ThinID]bool{}
	for _, t := range thins {
		owned[t.ID] = true
	}
	for _, s := range all {
		if s.Kind == metadata.View && !owned[s.Thin] {
			findings = append(findings, Finding{
				What: fmt.Sprintf("the view %q is lost: the pool has no thin device %s, which was a template", s.Key, s.Thin),
				Cure: fmt.Sprintf("none; remove it with \"veneer snapshot rm %s\", and make another", s.Key),
			})
		}
		if !s.Lost {
			continue
		}
		f := Finding{
			What: fmt.Sprintf("the %s snapshot %q is lost: the pool has no thin device %s", s.Kind, s.Key, s.Thin),
			Cure: fmt.Sprintf("none; remove it with \"veneer snapshot rm %s\"", s.Key),
		}
		if s.Kind == metadata.Committed {
			f.Cure += ", or import its image again, which replaces it"
		}
		if n := children[s.Key]; n > 0 {
			f.What += fmt.Sprintf("; its %d children are whole and stay usable", n)
			f.Cure = "none; import its image again, which replaces it, or remove it once its children are gone"
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// Check reads all of the pool's metadata and verifies every block of it, and the
// catalog's own rules, while the pool is in use.
func (d *Driver) Check(ctx context.Context) (dmthin.Superblock, error) {
	var sb dmthin.Superblock
	end, err := d.begin(ctx)
	if err != nil {
		return sb, err
	}
	defer end()
	err = d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		sb = m.Superblock()
		_, err := m.Usage(ctx)
		return err
	})
	return sb, class.Ensure(errors.Join(err, d.catalog.Check()))
}

// Holders is how many hold a snapshot's device open: mounts count as one. All views of one
// parent show one device: which of several is held cannot be told, and is answered by 0.
func (d *Driver) Holders(ctx context.Context, key string) (int, error) {
	end, err := d.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	s, err := d.catalog.Get(key)
	if err != nil {
		return 0, failed("look at", key, err)
	}
	live, err := d.pool.Lookup(s.Thin)
	if err != nil || live == nil {
		return 0, failed("look at", key, err)
	}
	if s.Kind == metadata.View {
		all, err := d.catalog.Snapshots()
		shows := func(o metadata.Snapshot) bool {
			return o.Kind == metadata.View && o.Thin == s.Thin && o.Key != key
		}
		if err != nil || slices.ContainsFunc(all, shows) {
			return 0, failed("look at", key, err)
		}
	}
	return live.OpenCount, nil
}
