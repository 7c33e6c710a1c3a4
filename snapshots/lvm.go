package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/thinpool"
)

// lvmDisks are two logical volumes that are made in a volume group, or an LVM thin
// pool that is there.
type lvmDisks struct{}

// lvm runs one of lvm2's commands. Without udev nobody would complete what lvm2
// waits for, so it is told not to wait.
func lvm(ctx context.Context, args ...string) (string, error) {
	if _, err := os.Stat("/run/udev/control"); err != nil {
		args = append(args, "--config", "activation{udev_sync=0 udev_rules=0 monitoring=0} devices{obtain_device_list_from_udev=0}")
	}
	cmd := exec.CommandContext(ctx, "lvm", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("the command lvm is not there; install lvm2: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("lvm %s: %w: %s", args[0], err, strings.Join(strings.Fields(stderr.String()), " "))
	}
	return strings.TrimSpace(string(out)), nil
}

func (lvmDisks) volumes(p metadata.Pool) (data, meta string) {
	return p.Name + "_data", p.Name + "_metadata"
}

func (l lvmDisks) Vacant(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return nil // only the pool itself can tell: see vacantPool
	}
	names, err := lvm(ctx, "lvs", "--noheadings", "--options", "lv_name", p.VolumeGroup)
	if err != nil {
		return err
	}
	dataLV, metaLV := l.volumes(p)
	for name := range strings.FieldsSeq(names) {
		if name == dataLV || name == metaLV {
			return fmt.Errorf("%w: the logical volume %s/%s is there already and is not written over; choose another name for the pool, or remove it", ErrExists, p.VolumeGroup, name)
		}
	}
	return nil
}

func (l lvmDisks) Create(ctx context.Context, p metadata.Pool, data, meta uint64) error {
	if p.ExistingPool != "" {
		return nil
	}
	dataLV, metaLV := l.volumes(p)
	for name, size := range map[string]uint64{dataLV: data, metaLV: meta} {
		if _, err := lvm(ctx, "lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--addtag", "veneer", "--name", name, "--size", fmt.Sprintf("%db", size), p.VolumeGroup); err != nil {
			return err
		}
	}
	return nil
}

func (l lvmDisks) Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	if p.ExistingPool != "" {
		return existingPool(ctx, p.ExistingPool)
	}
	dataLV, metaLV := l.volumes(p)
	for name, disk := range map[string]*thinpool.Disk{dataLV: &data, metaLV: &meta} {
		path := "/dev/" + p.VolumeGroup + "/" + name
		if _, statErr := os.Stat(path); statErr != nil {
			if _, err := lvm(ctx, "lvchange", "--activate", "y", p.VolumeGroup+"/"+name); err != nil {
				return data, meta, err
			}
		}
		if *disk, err = blockDevice(path); err != nil {
			return data, meta, err
		}
	}
	return data, meta, nil
}

func (l lvmDisks) Grow(ctx context.Context, p metadata.Pool, data, meta uint64) error {
	if p.ExistingPool != "" {
		if data > 0 {
			if err := extend(ctx, p.ExistingPool, "--size", data); err != nil {
				return err
			}
		}
		if meta > 0 {
			return extend(ctx, p.ExistingPool, "--poolmetadatasize", meta)
		}
		return nil
	}
	dataLV, metaLV := l.volumes(p)
	for name, want := range map[string]uint64{dataLV: data, metaLV: meta} {
		have, err := blockDevice("/dev/" + p.VolumeGroup + "/" + name)
		if err != nil {
			return err
		}
		if want > have.Size.Bytes() {
			if err := extend(ctx, p.VolumeGroup+"/"+name, "--size", want); err != nil {
				return err
			}
		}
	}
	return nil
}

func extend(ctx context.Context, volume, what string, size uint64) error {
	_, err := lvm(ctx, "lvextend", what, fmt.Sprintf("%db", size), volume)
	return err
}

func (l lvmDisks) Detach(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return nil
	}
	dataLV, metaLV := l.volumes(p)
	for _, name := range []string{dataLV, metaLV} {
		if _, err := os.Stat("/dev/" + p.VolumeGroup + "/" + name); err != nil {
			continue
		}
		if _, err := lvm(ctx, "lvchange", "--activate", "n", p.VolumeGroup+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes volumes that carry our tag.
func (l lvmDisks) Delete(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return nil
	}
	dataLV, metaLV := l.volumes(p)
	ours, err := lvm(ctx, "lvs", "--noheadings", "--options", "lv_name", "--select", "lv_tags=veneer", p.VolumeGroup)
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(ours) {
		if name == dataLV || name == metaLV {
			if _, err := lvm(ctx, "lvremove", "--yes", p.VolumeGroup+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// existingPool finds the live devices of an LVM thin pool. With thin volumes in it
// LVM puts the pool itself behind a name that ends in -tpool.
func existingPool(ctx context.Context, volume string) (pool, meta thinpool.Disk, err error) {
	vg, lv, ok := strings.Cut(volume, "/")
	if !ok {
		return pool, meta, fmt.Errorf("%w: existing pool %q is not VG/LV", ErrInvalid, volume)
	}
	if _, err := lvm(ctx, "lvchange", "--activate", "y", volume); err != nil {
		return pool, meta, err
	}
	escape := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	name := "/dev/mapper/" + escape(vg) + "-" + escape(lv)
	top := name
	if _, err := os.Stat(name + "-tpool"); err == nil {
		top += "-tpool"
	}
	if pool, err = blockDevice(top); err != nil {
		return pool, meta, err
	}
	meta, err = blockDevice(name + "_tmeta")
	return pool, meta, err
}

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
func (d *Driver) unclaim(record metadata.Pool) error {
	ctx := context.Background()
	pool, meta, err := existingPool(ctx, record.ExistingPool)
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
