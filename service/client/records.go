package client

import (
	"context"
	"time"

	api "github.com/veneerdm/veneer/service/api/v1"
	"github.com/veneerdm/veneer/service/internal/wire"
	"github.com/veneerdm/veneer/snapshots"
)

// recordFor bounds calls that have no context of their own.
const recordFor = time.Minute

func recordContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), recordFor)
}

// PutRecord is Driver.PutRecord.
func (c *Client) PutRecord(r snapshots.Record) error {
	ctx, cancel := recordContext()
	defer cancel()
	_, err := c.api.PutRecord(ctx, wire.FromRecord(r))
	return err
}

// Record is Driver.Record.
func (c *Client) Record(name string) (snapshots.Record, error) {
	ctx, cancel := recordContext()
	defer cancel()
	r, err := c.api.GetRecord(ctx, &api.GetRecordRequest{Name: name})
	if err != nil {
		return snapshots.Record{}, err
	}
	return wire.ToRecord(r), nil
}

// Records is Driver.Records.
func (c *Client) Records() (all []snapshots.Record, err error) {
	ctx, cancel := recordContext()
	defer cancel()
	stream, err := c.api.ListRecords(ctx, &api.ListRecordsRequest{})
	if err != nil {
		return nil, err
	}
	err = receive(stream, func(m *api.Records) error {
		for _, r := range m.GetRecords() {
			all = append(all, wire.ToRecord(r))
		}
		return nil
	})
	return all, err
}

// DeleteRecord is Driver.DeleteRecord.
func (c *Client) DeleteRecord(name string) error {
	ctx, cancel := recordContext()
	defer cancel()
	_, err := c.api.DeleteRecord(ctx, &api.DeleteRecordRequest{Name: name})
	return err
}
