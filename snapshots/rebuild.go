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
	"github.com/veneerdm/veneer/internal/durable"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
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
	if _, err := d.setAside(".damaged"); err != nil {
		return []Finding{f}, err
	}
	o := metadata.Options{MustExist: true, AcceptOlder: true}
	c, err := d.config.openCatalog(d.config.catalogPath(), o)
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

// setAside keeps a copy of the catalog that is to be replaced, under a name that is free.
func (d *Driver) setAside(suffix string) (kept string, err error) {
	path := d.config.catalogPath()
	for n := 1; ; n++ {
		kept = path + suffix
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
	if d.pool, err = d.openPool(ctx, spec); err != nil {
		return nil, class.Ensure(err)
	}
	if _, err := os.Stat(d.config.catalogPath()); err == nil {
		kept, err := d.setAside(".damaged")
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
	o := metadata.Options{}
	c, err := d.config.openCatalog(fresh, o)
	if err != nil {
		return findings, class.Ensure(err)
	}
	d.record.Created = time.Now().UTC()
	c.SetClock(d.clock.Load())
	err = errors.Join(c.SetPool(d.record), c.Adopt(recovered), c.Check(), c.Close())
	if err == nil {
		err = durable.Rename(fresh, d.config.catalogPath())
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
	d.catalog, err = d.config.openCatalog(d.config.catalogPath(), o)
	return findings, class.Ensure(err)
}

// recoverThins describes every thin device of the pool that can be looked at. The others
// are in no record of the new catalog, and reported by the comparison that follows.
func (d *Driver) recoverThins(ctx context.Context) (all []metadata.Snapshot, err error) {
	ends, err := d.mappedEnds(ctx, func(dmthin.ThinID) bool { return true })
	if err != nil {
		return nil, err
	}
	for id, end := range ends {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := d.describe(id, d.pool.BlocksToBytes(end))
		if err != nil {
			d.log.WithError(err).WithField("thin", id).Warn("thin device cannot be looked at")
			continue
		}
		all = append(all, s)
	}
	return all, nil
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
