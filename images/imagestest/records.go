package imagestest

import (
	"maps"
	"slices"

	"github.com/veneerdm/veneer/snapshots"
)

// PutRecord implements images.Snapshots.
func (d *Directories) PutRecord(r snapshots.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records[r.Name] = snapshots.Record{Name: r.Name, Data: slices.Clone(r.Data)}
	return nil
}

// Record implements images.Snapshots.
func (d *Directories) Record(name string) (snapshots.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.records[name]
	if !ok {
		return r, opError("record", name, snapshots.ErrNotFound)
	}
	return r, nil
}

// Records implements images.Snapshots.
func (d *Directories) Records() ([]snapshots.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []snapshots.Record
	for _, name := range slices.Sorted(maps.Keys(d.records)) {
		all = append(all, d.records[name])
	}
	return all, nil
}

// DeleteRecord implements images.Snapshots.
func (d *Directories) DeleteRecord(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.records[name]; !ok {
		return opError("delete record", name, snapshots.ErrNotFound)
	}
	delete(d.records, name)
	return nil
}
