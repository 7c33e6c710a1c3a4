package images

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/snapshots"
)

// catalog keeps the records of images among the driver's.
type catalog struct{ driver Snapshots }

func (c catalog) put(r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.driver.PutRecord(snapshots.Record{Name: r.Name, Data: data})
}

// image finds a record by its exact name, or says an error that is ErrNotFound.
func (c catalog) image(name string) (Record, error) {
	r, err := c.driver.Record(name)
	if err != nil {
		return Record{}, missing(name, err)
	}
	return decode(r)
}

// images lists all records, sorted by name.
func (c catalog) images() ([]Record, error) {
	all, err := c.driver.Records()
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(all))
	for i, r := range all {
		if records[i], err = decode(r); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// remove drops a record; one that is not there is ErrNotFound.
func (c catalog) remove(name string) error { return missing(name, c.driver.DeleteRecord(name)) }

func decode(r snapshots.Record) (i Record, err error) {
	if err := json.Unmarshal(r.Data, &i); err != nil {
		return Record{}, fmt.Errorf("%w: record of image %s: %w", snapshots.ErrInconsistent, r.Name, err)
	}
	return i, nil
}

// missing says in the words of this package that the driver has no such record.
func missing(name string, err error) error {
	if errors.Is(err, snapshots.ErrNotFound) {
		return fmt.Errorf("%w: image %s", ErrNotFound, name)
	}
	return err
}
