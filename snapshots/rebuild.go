package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// unknowable is what nothing but the catalog says.
const unknowable = "what cannot be known: the snapshots' names, parents, labels and which were finished, and all images' records; import images again"

// lostCatalog is the doctor's visit to a store without a good catalog.
func (d *Driver) lostCatalog(ctx context.Context, lost error, fix bool) ([]Finding, error) {
	if errors.As(lost, new(*metadata.HeaderError)) {
		return d.olderCatalog(ctx, lost, fix)
	}
	found, err := d.findPool()
	if errors.Is(err, ErrNotFound) {
		return nil, d.explainMissing(lost)
	}
	if err != nil {
		return nil, err
	}
	f := Finding{
		What: fmt.Sprintf("%v, and %s holds the metadata of a pool", lost, found.Metadata),
		Cure: "make a catalog of what the pool and its devices tell; " + unknowable,
	}
	if !fix {
		return []Finding{f}, nil
	}
	d.record = found
	findings, err := d.rebuild(ctx)
	f.Done = err == nil
	return append([]Finding{f}, findings...), err
}

// olderCatalog goes back to the state before the last change, which the other header
// page leads to.
func (d *Driver) olderCatalog(ctx context.Context, lost error, fix bool) ([]Finding, error) {
	f := Finding{What: lost.Error(), Cure: "go back to the catalog as it was before its last change, and compare it with the pool"}
	if !fix {
		return []Finding{f}, nil
	}
	if _, err := d.setAside(); err != nil {
		return []Finding{f}, err
	}
	o := d.config.Catalog
	o.MustExist, o.AcceptOlder = true, true
	c, err := metadata.Open(d.config.catalogPath(), o)
	if err != nil {
		return []Finding{f}, class.Ensure(err)
	}
	d.catalog = c
	record, err := c.Pool()
	if err == nil {
		err = c.SetPool(record) // a change writes the damaged header
	}
	f.Done = err == nil
	return []Finding{f}, class.Ensure(err)
}

// setAside keeps a copy of the damaged catalog, under a name that is free.
func (d *Driver) setAside() (kept string, err error) {
	path := d.config.catalogPath()
	for n := 1; ; n++ {
		kept = path + ".damaged"
		if n > 1 {
			kept += fmt.Sprint(".", n)
		}
		err = copyFile(path, kept, os.O_CREATE|os.O_EXCL)
		if !errors.Is(err, fs.ErrExist) {
			return kept, err
		}
	}
}

// rebuild makes a catalog from the pool's list of thin devices, the names and sizes of
// the live ones and the filesystems on the others. It becomes the store's when it is
// complete.
func (d *Driver) rebuild(ctx context.Context) (findings []Finding, err error) {
	if d.disks == nil {
		d.disks = disk.ForBacking(d.record.Backing)
	}
	spec, err := d.attach(ctx)
	if err != nil {
		return nil, err
	}
	if d.record.LowWater == 0 {
		d.record.LowWater = lowWater(spec, d.record.BlockSize)
		spec.LowWater = dmthin.DataBlocks(d.record.LowWater)
	}
	if d.pool, err = d.openPool(spec); err != nil {
		return nil, class.Ensure(err)
	}
	if _, err := os.Stat(d.config.catalogPath()); err == nil {
		kept, err := d.setAside()
		if err != nil {
			return nil, err
		}
		findings = append(findings, Finding{What: "the damaged catalog", Cure: "kept as " + kept, Done: true})
	}
	recovered, err := d.recoverThins(ctx)
	if err != nil {
		return findings, class.Ensure(err)
	}
	fresh := d.config.catalogPath() + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return findings, err
	}
	o := d.config.Catalog
	o.MustExist = false
	c, err := metadata.Open(fresh, o)
	if err != nil {
		return findings, class.Ensure(err)
	}
	d.record.Created = time.Now().UTC()
	err = errors.Join(c.SetPool(d.record), c.Adopt(recovered), c.Check(), c.Close())
	if err == nil {
		err = errors.Join(os.Rename(fresh, d.config.catalogPath()), syncFile(d.config.Root))
	}
	if err != nil {
		return findings, class.Ensure(err)
	}
	for _, s := range recovered {
		findings = append(findings, Finding{
			What: fmt.Sprintf("thin %s, %d bytes of %s, has lost its name", s.Thin, s.Size, or(s.Filesystem, "an unknown kind")),
			Cure: fmt.Sprintf("it is the %s snapshot %q", s.Kind, s.Key), Done: true,
		})
	}
	o.MustExist = true
	d.catalog, err = metadata.Open(d.config.catalogPath(), o)
	return findings, class.Ensure(err)
}

// recoverThins describes every thin device of the pool.
func (d *Driver) recoverThins(ctx context.Context) (all []metadata.Snapshot, err error) {
	highest := map[dmthin.ThinID]dmthin.DataBlocks{}
	err = d.pool.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		devices, err := m.Devices(ctx)
		if err != nil {
			return err
		}
		for _, dev := range devices {
			end := dmthin.DataBlocks(1)
			if err := m.Mappings(ctx, dev.ID, func(r dmthin.Run) error { end = r.Virtual + r.Length; return nil }); err != nil {
				return err
			}
			highest[dev.ID] = end
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, end := range highest {
		s, err := d.recoverThin(id, d.pool.BlocksToBytes(end))
		if err != nil {
			return nil, fmt.Errorf("look at thin %s: %w", id, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// recoverThin describes one thin device, whose blocks end at a byte. A device that
// shows a committed snapshot is active read-only; nothing else tells one.
func (d *Driver) recoverThin(id dmthin.ThinID, end uint64) (metadata.Snapshot, error) {
	s := metadata.Snapshot{Key: d.recoveredKey(id), Thin: id, Kind: metadata.Active, Size: d.pool.RoundUp(end)}
	live, err := d.pool.Lookup(id)
	if err != nil {
		return s, err
	}
	if live != nil {
		if live.Suspended {
			if err := d.pool.ResumeThin(id); err != nil {
				return s, err
			}
		}
		if live.ReadOnly {
			s.Kind = metadata.Committed
		}
		table, err := d.dm.Table(devmapper.ByName(live.Name))
		if err != nil {
			return s, err
		}
		s.Size = 0
		for _, line := range table {
			s.Size += line.Length.Bytes()
		}
		found, err := filesystem.Identify(live.Path())
		s.Filesystem = found.Kind
		return s, err
	}
	if live, err = d.pool.ActivateThin(id, s.Size, devmapper.ReadOnly); err != nil {
		return s, err
	}
	found, err := filesystem.Identify(live.Path())
	s.Filesystem, s.Size = found.Kind, max(s.Size, d.pool.RoundUp(found.Size))
	return s, errors.Join(err, d.pool.DeactivateThin(id))
}

// recoveredKey names what has lost its name.
func (d *Driver) recoveredKey(id dmthin.ThinID) string {
	if d.config.RecoveredKey != nil {
		return d.config.RecoveredKey(id)
	}
	return "recovered-" + id.String()
}

// poolFiles are the metadata files in the store's folder, which say that there was a
// catalog.
func (d *Driver) poolFiles() []string {
	files, err := filepath.Glob(filepath.Join(d.config.Root, "pool", "*.metadata"))
	if err != nil {
		return nil
	}
	return files
}
