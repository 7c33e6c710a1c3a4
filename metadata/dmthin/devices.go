package dmthin

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrNoDevice says that the pool has no thin device of that id.
var ErrNoDevice = errors.New("no such thin device")

const detailsSize = 24

// Device is one thin device in a pool (struct disk_device_details).
type Device struct {
	ID          ThinID
	Mapped      DataBlocks    // shared ones included
	Transaction TransactionID // the pool's when it was made
	Created     uint32        // snapshot time
	Snapshotted uint32        // snapshot time of its latest snapshot
	root        MetaBlocks
}

// Devices lists the thin devices in the order of their ids.
func (m *Metadata) Devices(ctx context.Context) ([]Device, error) {
	var all []Device
	le := binary.LittleEndian
	err := m.walk(ctx, m.sb.Details, detailsSize, func(n node) error {
		for i := range n.n {
			if n.key(i) > uint64(MaxThinID) {
				return fmt.Errorf("%w: thin id %d", ErrCorrupt, n.key(i))
			}
			v := n.bytes(i)
			all = append(all, Device{
				ID: ThinID(n.key(i)), Mapped: DataBlocks(le.Uint64(v)), Transaction: TransactionID(le.Uint64(v[8:])),
				Created: le.Uint32(v[16:]), Snapshotted: le.Uint32(v[20:]),
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("details of thin devices: %w", err)
	}
	next := 0
	err = m.walk(ctx, m.sb.Mappings, 8, func(n node) error {
		for i := range n.n {
			if next >= len(all) || uint64(all[next].ID) != n.key(i) {
				return fmt.Errorf("%w: thin id %d has mappings and no details", ErrCorrupt, n.key(i))
			}
			all[next].root = MetaBlocks(n.uint64(i))
			next++
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("roots of thin devices: %w", err)
	}
	if next != len(all) {
		return nil, fmt.Errorf("%w: thin id %d has details and no mappings", ErrCorrupt, all[next].ID)
	}
	return all, nil
}

// lookup finds the value of one key by one path through a tree.
func (m *Metadata) lookup(ctx context.Context, root MetaBlocks, key uint64, valueSize int) (value []byte, err error) {
	at := branch{root, everything}
	for range maxDepth {
		var found bool
		children, err := m.expand(ctx, []branch{at}, valueSize, func(_ int, n node) error {
			found = true
			for i := range n.n {
				if n.key(i) == key {
					value = append([]byte(nil), n.bytes(i)...)
				}
			}
			return nil
		})
		if err != nil || found {
			return value, err
		}
		next := -1
		for i, c := range children {
			if key >= c.keys.low && key <= c.keys.high {
				next = i
			}
		}
		if next < 0 {
			return nil, nil
		}
		at = children[next]
	}
	return nil, fmt.Errorf("%w: a tree is deeper than %d levels, at block %d", ErrCorrupt, maxDepth, root)
}

// Device gives one thin device, or ErrNoDevice.
func (m *Metadata) Device(ctx context.Context, id ThinID) (Device, error) {
	v, err := m.lookup(ctx, m.sb.Details, uint64(id), detailsSize)
	if err != nil {
		return Device{}, err
	}
	root, err := m.lookup(ctx, m.sb.Mappings, uint64(id), 8)
	if err != nil {
		return Device{}, err
	}
	if v == nil && root == nil {
		return Device{}, fmt.Errorf("%w: id %d", ErrNoDevice, id)
	}
	if v == nil || root == nil {
		return Device{}, fmt.Errorf("%w: thin id %d is in one tree only", ErrCorrupt, id)
	}
	le := binary.LittleEndian
	return Device{
		ID: id, Mapped: DataBlocks(le.Uint64(v)), Transaction: TransactionID(le.Uint64(v[8:])),
		Created: le.Uint32(v[16:]), Snapshotted: le.Uint32(v[20:]), root: MetaBlocks(le.Uint64(root)),
	}, nil
}

// Run is a run of virtual blocks that map to a run of data blocks.
type Run struct {
	Virtual, Data DataBlocks
	Length        DataBlocks
	Time          uint32
}

// Mappings calls f with the runs of a device's mappings, ascending.
func (m *Metadata) Mappings(ctx context.Context, id ThinID, f func(Run) error) error {
	d, err := m.Device(ctx, id)
	if err != nil {
		return err
	}
	var run Run // an empty one goes on with the mapping that has only zeros
	err = m.walk(ctx, d.root, 8, func(n node) error {
		for i := range n.n {
			p := n.mapping(i)
			if p.Virtual == run.Virtual+run.Length && p.Data == run.Data+run.Length && p.Time == run.Time {
				run.Length++
				continue
			}
			if run.Length > 0 {
				if err := f(run); err != nil {
					return err
				}
			}
			run = Run{Virtual: p.Virtual, Data: p.Data, Length: 1, Time: p.Time}
		}
		return nil
	})
	if err == nil && run.Length > 0 {
		err = f(run)
	}
	return err
}
