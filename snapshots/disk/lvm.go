package disk

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/internal/command"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/thinpool"
)

// volumes are two logical volumes that are made in a volume group, or an LVM thin
// pool that is there.
type volumes struct{}

var lvm2 = command.Program{Name: "lvm", Package: "lvm2", Env: []string{"LVM_SUPPRESS_FD_WARNINGS=1"}}

// lvm runs one of lvm2's commands. Without udev nobody would complete what lvm2
// waits for, so it is told not to wait.
func lvm(ctx context.Context, args ...string) (string, error) {
	if _, err := os.Stat("/run/udev/control"); err != nil {
		args = append(args, "--config", "activation{udev_sync=0 udev_rules=0 monitoring=0} devices{obtain_device_list_from_udev=0}")
	}
	out, err := lvm2.Run(ctx, args...)
	return strings.TrimSpace(out), class.Ensure(err)
}

func (volumes) names(p metadata.Pool) (data, meta string) {
	return p.Name + "_data", p.Name + "_metadata"
}

// sizedVolume is a logical volume's name, and the bytes that it has or is to have.
type sizedVolume struct {
	name string
	size uint64
}

func (v volumes) sized(p metadata.Pool, data, meta uint64) [2]sizedVolume {
	dataLV, metaLV := v.names(p)
	return [2]sizedVolume{{dataLV, data}, {metaLV, meta}}
}

func (v volumes) Vacant(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return nil // only the pool itself can tell: its user looks
	}
	names, err := lvm(ctx, "lvs", "--noheadings", "--options", "lv_name", p.VolumeGroup)
	if err != nil {
		return err
	}
	dataLV, metaLV := v.names(p)
	for name := range strings.FieldsSeq(names) {
		if name == dataLV || name == metaLV {
			return fmt.Errorf("%w: the logical volume %s/%s is there already and is not written over; choose another name for the pool, or remove it", class.Exists, p.VolumeGroup, name)
		}
	}
	return nil
}

func (v volumes) Create(ctx context.Context, p metadata.Pool, data, meta uint64) error {
	if p.ExistingPool != "" {
		return nil
	}
	for _, lv := range v.sized(p, data, meta) {
		if _, err := lvm(ctx, "lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--addtag", "veneer", "--name", lv.name, "--size", fmt.Sprintf("%db", lv.size), p.VolumeGroup); err != nil {
			return err
		}
	}
	return nil
}

func (v volumes) Attach(ctx context.Context, p metadata.Pool) (data, meta thinpool.Disk, err error) {
	if p.ExistingPool != "" {
		return ExistingPool(ctx, p.ExistingPool)
	}
	var u undo
	defer func() { err = u.after(err) }()
	dataLV, metaLV := v.names(p)
	if data, err = attachVolume(ctx, p.VolumeGroup, dataLV, &u); err != nil {
		return data, meta, err
	}
	meta, err = attachVolume(ctx, p.VolumeGroup, metaLV, &u)
	return data, meta, err
}

func attachVolume(ctx context.Context, group, name string, u *undo) (thinpool.Disk, error) {
	path := "/dev/" + group + "/" + name
	if _, err := os.Stat(path); err != nil {
		if _, err := lvm(ctx, "lvchange", "--activate", "y", group+"/"+name); err != nil {
			return thinpool.Disk{}, err
		}
		u.add(func() error {
			_, err := lvm(context.WithoutCancel(ctx), "lvchange", "--activate", "n", group+"/"+name)
			return err
		})
	}
	return Device(path)
}

func (v volumes) Grow(ctx context.Context, p metadata.Pool, data, meta uint64) error {
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
	for _, lv := range v.sized(p, data, meta) {
		have, err := Device("/dev/" + p.VolumeGroup + "/" + lv.name)
		if err != nil {
			return err
		}
		if lv.size > have.Size.Bytes() {
			if err := extend(ctx, p.VolumeGroup+"/"+lv.name, "--size", lv.size); err != nil {
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

func (v volumes) Detach(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return nil
	}
	dataLV, metaLV := v.names(p)
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
func (v volumes) Delete(ctx context.Context, p metadata.Pool) error {
	if p.ExistingPool != "" {
		return nil
	}
	dataLV, metaLV := v.names(p)
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

// ExistingPool finds the live devices of an LVM thin pool. With thin volumes in it
// LVM puts the pool itself behind a name that ends in -tpool.
func ExistingPool(ctx context.Context, volume string) (pool, meta thinpool.Disk, err error) {
	vg, lv, ok := strings.Cut(volume, "/")
	if !ok {
		return pool, meta, fmt.Errorf("%w: existing pool %q is not VG/LV", class.Invalid, volume)
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
	if pool, err = Device(top); err != nil {
		return pool, meta, err
	}
	meta, err = Device(name + "_tmeta")
	return pool, meta, err
}
