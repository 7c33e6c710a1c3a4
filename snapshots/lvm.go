package snapshots

import (
	"context"
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/thinpool"
)

// claimed is the transaction id that an LVM thin pool of ours carries. LVM, which
// expects 0, refuses to make thin volumes of its own in such a pool (lvm2,
// lib/metadata/thin_manip.c), and does not mind otherwise.
const claimed dmthin.TransactionID = 0x56454e454552 // "VENEER"

// vacantPool gives an LVM thin pool that nobody has anything in.
func (d *Driver) vacantPool(record metadata.Pool, data thinpool.Disk, metadataPath string) (*thinpool.Pool, error) {
	p, err := thinpool.Adopt(d.dm, record.Name, data.Dev, metadataPath)
	if err != nil {
		return nil, err
	}
	w, err := p.Working()
	if err != nil {
		return nil, err
	}
	if w.Transaction == claimed {
		return nil, &thinpool.ForeignError{Path: record.ExistingPool, Holds: "the pool of another store", Cure: "choose another pool"}
	}
	if w.Transaction != 0 || w.UsedData != 0 {
		return nil, &thinpool.ForeignError{
			Path: record.ExistingPool, Cure: "choose a pool without any",
			Holds: fmt.Sprintf("thin volumes of LVM or another program (transaction id %d, %d data blocks used)", w.Transaction, w.UsedData),
		}
	}
	return p, nil
}

// claim takes an LVM thin pool that is empty.
func (d *Driver) claim(spec thinpool.Spec) (*thinpool.Pool, error) {
	p, err := d.vacantPool(d.record, spec.Data, spec.Metadata.Path)
	if err != nil {
		return nil, err
	}
	d.record.BlockSize = p.BlockSize().Bytes()
	return p, p.SetTransaction(0, claimed)
}

// unclaim empties an LVM thin pool of ours and gives it back.
func (d *Driver) unclaim(ctx context.Context, record metadata.Pool) error {
	pool, meta, err := disk.ExistingPool(ctx, record.ExistingPool)
	if err != nil {
		return err
	}
	p, err := thinpool.Adopt(d.dm, record.Name, pool.Dev, meta.Path)
	if err != nil {
		return err
	}
	w, err := p.Working()
	if err != nil || w.Transaction != claimed {
		return err
	}
	var ids []dmthin.ThinID
	err = p.ReadMetadata(ctx, func(m *dmthin.Metadata) error {
		devices, err := m.Devices(ctx)
		for _, dev := range devices {
			ids = append(ids, dev.ID)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := p.Delete(id); err != nil && !errors.Is(err, thinpool.ErrNoThin) {
			return err
		}
	}
	return p.SetTransaction(claimed, 0)
}
