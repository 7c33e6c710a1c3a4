package snapshots

import (
	"context"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/class"
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

// Examine compares the catalog, the pool's metadata and the live devices, and
// tells where they disagree. With fix set it mends what it finds. It works where
// Open refuses, and needs the store to itself: ErrLocked otherwise.
func Examine(ctx context.Context, c Config, fix bool) (findings []Finding, err error) {
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.release()) }()
	o := c.Catalog
	o.MustExist = true
	d.catalog, err = metadata.Open(c.catalogPath(), o)
	if errors.Is(err, metadata.ErrNotFound) || errors.Is(err, metadata.ErrCorrupt) {
		findings, err = d.lostCatalog(ctx, err, fix)
	}
	if err != nil || d.catalog == nil {
		return findings, class.Ensure(err)
	}
	if err = d.readRecord(); err != nil {
		return nil, class.Ensure(err)
	}
	if d.record.State != metadata.Ready {
		return []Finding{{
			What: fmt.Sprintf("the pool %q was never finished, or never quite destroyed", d.record.Name),
			Cure: "\"veneer pool create\" takes away what is left",
		}}, nil
	}
	if broken := d.catalog.Check(); broken != nil {
		findings = append(findings, Finding{What: broken.Error(), Cure: "none; move " + c.catalogPath() + " away, and \"veneer doctor --fix\" makes another of what the pool tells"})
	}
	if d.disks == nil {
		d.disks = disk.ForBacking(d.record.Backing)
	}
	spec, err := d.attach(ctx)
	if err != nil {
		return findings, err
	}
	if d.pool, err = d.openPool(spec); err != nil {
		return findings, class.Ensure(err)
	}
	more, err := d.examine(ctx, fix)
	return append(findings, more...), err
}

func (d *Driver) examine(ctx context.Context, fix bool) (findings []Finding, err error) {
	w, err := d.pool.Working()
	if err != nil {
		return nil, class.Ensure(err)
	}
	if err := w.Writable(); err != nil {
		findings = append(findings, Finding{What: fmt.Sprintf("pool %s: %v", d.record.Name, err), Cure: "none here; grow its metadata if that is full, else run \"veneer pool deactivate\" and \"veneer pool repair\""})
	}
	if err := d.catalog.ReleaseAll(); err != nil {
		return findings, class.Ensure(err)
	}
	all, err := d.compare(ctx)
	if err != nil {
		return findings, class.Ensure(err)
	}
	for _, t := range all {
		cure := d.cure(t)
		if cure.what == "" {
			continue
		}
		f := Finding{What: t.String(), Cure: cure.what}
		if fix && cure.do != nil {
			if err := cure.do(); err != nil {
				return append(findings, f), fmt.Errorf("%s, to %s: %w", t, cure.what, class.Ensure(err))
			}
			f.Done = true
		}
		findings = append(findings, f)
	}
	if fix {
		d.reaper.pass(ctx)
	}
	return findings, nil
}

type cure struct {
	what string
	do   func() error
}

func (d *Driver) cure(t truths) cure {
	switch t.action() {
	case rollBack, refuse:
		if t.owner == ofTrash || t.owner == ofNobody {
			return cure{what: "none; the kernel has a device of a thin that its pool does not have"}
		}
		if t.owner == ofTemplate {
			return cure{"drop the template; the next base snapshot makes another", func() error {
				return errors.Join(d.catalog.RemoveTemplate(t.key), d.catalog.Forget(t.id))
			}}
		}
		return cure{"drop its record: what it held is lost", func() error {
			if err := d.dropRecord(t.key); err != nil {
				return err
			}
			return d.catalog.Forget(t.id)
		}}
	case forget:
		return cure{"drop the entry: it is deleted already", func() error { return d.catalog.Forget(t.id) }}
	case resume:
		return cure{"resume the device", func() error { return d.pool.ResumeThin(t.id) }}
	case deactivate:
		return cure{"deactivate it: nobody looks at it", func() error {
			_, err := d.pool.DeactivateThinDeferred(t.id)
			return err
		}}
	case report:
		return cure{"delete it: no record leads to it", func() error { return d.discardUnknown(t.id) }}
	}
	return cure{}
}

func (d *Driver) discardUnknown(id dmthin.ThinID) error {
	return d.catalog.ThrowAway(id, d.record.BaseSize, "unknown")
}

// Check reads all of the pool's metadata and verifies every block of it, and the
// catalog's own rules, while the pool is in use.
func (d *Driver) Check(ctx context.Context) (dmthin.Superblock, error) {
	var sb dmthin.Superblock
	if err := d.begin(ctx); err != nil {
		return sb, err
	}
	err := d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		sb = m.Superblock()
		_, err := m.Usage(ctx)
		return err
	})
	return sb, class.Ensure(errors.Join(err, d.catalog.Check()))
}

// Holders is how many hold a snapshot's device open: mounts count as one.
func (d *Driver) Holders(ctx context.Context, key string) (int, error) {
	if err := d.begin(ctx); err != nil {
		return 0, err
	}
	s, err := d.get(key)
	if err != nil {
		return 0, failed("look at", key, err)
	}
	live, err := d.pool.Lookup(s.Thin)
	if err != nil || live == nil {
		return 0, failed("look at", key, err)
	}
	return live.OpenCount, nil
}
