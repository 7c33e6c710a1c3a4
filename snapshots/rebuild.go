package snapshots

import (
	"context"
	"encoding/binary"
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
		d.disks = disksFor(d.record)
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
	o := metadata.Options{}
	c, err := d.config.openCatalog(fresh, o)
	if err != nil {
		return findings, class.Ensure(err)
	}
	d.record.Created = time.Now().UTC()
	c.SetClock(d.clock.Load())
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
	d.catalog, err = d.config.openCatalog(d.config.catalogPath(), o)
	return findings, class.Ensure(err)
}

// recoverThins describes every thin device of the pool.
func (d *Driver) recoverThins(ctx context.Context) (all []metadata.Snapshot, err error) {
	ends, err := d.mappedEnds(ctx, func(dmthin.ThinID) bool { return true })
	if err != nil {
		return nil, err
	}
	for id, end := range ends {
		s, err := d.describe(id, d.pool.BlocksToBytes(end))
		if err != nil {
			return nil, fmt.Errorf("look at thin %s: %w", id, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// identifyFilesystem reads the superblock of an ext4 or xfs filesystem: its kind, and
// its size in bytes. A device without one is "".
func identifyFilesystem(path string) (kind string, size uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	b := make([]byte, 4096)
	if _, err := f.ReadAt(b, 0); err != nil {
		return "", 0, err
	}
	le := binary.LittleEndian
	const ext4At = ext4SuperblockAt
	switch {
	case le.Uint16(b[ext4At+0x38:]) == 0xEF53 && le.Uint32(b[ext4At+0x18:]) < 7:
		blocks := uint64(le.Uint32(b[ext4At+4:]))
		if le.Uint32(b[ext4At+ext4IncompatAt:])&0x80 != 0 { // EXT4_FEATURE_INCOMPAT_64BIT
			blocks |= uint64(le.Uint32(b[ext4At+0x150:])) << 32
		}
		return "ext4", blocks << (10 + le.Uint32(b[ext4At+0x18:])), nil
	case string(b[:4]) == "XFSB":
		return "xfs", uint64(binary.BigEndian.Uint32(b[4:])) * binary.BigEndian.Uint64(b[8:]), nil
	}
	return "", 0, nil
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
