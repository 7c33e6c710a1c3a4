package snapshots

import (
	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/metadata"
)

// Record is another package's data under a name, such as an image's.
type Record struct {
	Name string
	Data []byte // JSON
}

// PutRecord keeps a record in the driver's catalog, so that a store has one file
// of truth. It is on disk when PutRecord returns.
func (d *Driver) PutRecord(r Record) error {
	return class.Ensure(d.catalog.PutImage(metadata.Image{Name: r.Name, Record: r.Data}))
}

// Record gives a record, or ErrNotFound.
func (d *Driver) Record(name string) (Record, error) {
	i, err := d.catalog.Image(name)
	return Record{i.Name, i.Record}, class.Ensure(err)
}

// Records gives all records by name.
func (d *Driver) Records() ([]Record, error) {
	all, err := d.catalog.Images()
	records := make([]Record, len(all))
	for i, r := range all {
		records[i] = Record{r.Name, r.Record}
	}
	return records, class.Ensure(err)
}

// DeleteRecord drops a record, or says ErrNotFound.
func (d *Driver) DeleteRecord(name string) error { return class.Ensure(d.catalog.DeleteImage(name)) }
