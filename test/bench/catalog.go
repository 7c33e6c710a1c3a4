package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/snapshots"
)

// catalog keeps images' records in the driver's catalog.
type catalog struct{ d *snapshots.Driver }

func (c catalog) PutImage(r images.Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.d.PutRecord(snapshots.Record{Name: r.Name, Data: data})
}

func (c catalog) Image(name string) (r images.Record, err error) {
	stored, err := c.d.Record(name)
	if err != nil {
		return r, known(err)
	}
	return r, json.Unmarshal(stored.Data, &r)
}

func (c catalog) Images() ([]images.Record, error) {
	stored, err := c.d.Records()
	all := make([]images.Record, len(stored))
	for i, s := range stored {
		err = errors.Join(err, json.Unmarshal(s.Data, &all[i]))
	}
	return all, err
}

func (c catalog) DeleteImage(name string) error { return known(c.d.DeleteRecord(name)) }

// known says in the words of package images what package snapshots has said.
func known(err error) error {
	if errors.Is(err, snapshots.ErrNotFound) {
		return fmt.Errorf("%w: %w", images.ErrNotFound, err)
	}
	return err
}
