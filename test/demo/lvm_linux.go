package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/veneerdm/veneer/loopback"
)

const volumeGroup = "veneer-demo-vg"

func (d *demo) disk() string { return filepath.Join(d.dir, "disk") }

// makeVolumeGroup makes a volume group on a sparse file, for machines that have
// none to give away.
func (d *demo) makeVolumeGroup() error {
	if err := loopback.CreateImage(d.disk(), 4<<30); err != nil {
		return err
	}
	dev, err := loopback.Attach(d.ctx, d.disk(), loopback.Options{DirectIO: true})
	if err != nil {
		return err
	}
	say("a volume group %s on %s", volumeGroup, dev.Path)
	if err := lvm("pvcreate", "--yes", dev.Path); err != nil {
		return err
	}
	return lvm("vgcreate", volumeGroup, dev.Path)
}

func (d *demo) removeVolumeGroup() error {
	devices, err := loopback.Find(d.disk())
	if err != nil || len(devices) == 0 {
		return nil //nolint:nilerr // it was never made
	}
	errs := []error{lvm("vgremove", "--yes", "--force", volumeGroup)}
	for _, dev := range devices {
		errs = append(errs, dev.Detach(context.Background()))
	}
	return errors.Join(errs...)
}

// lvm runs one of lvm2's commands, without waiting for udev where there is none.
func lvm(args ...string) error {
	if _, err := os.Stat("/run/udev/control"); err != nil {
		args = append(args, "--config", "activation{udev_sync=0 udev_rules=0 monitoring=0} devices{obtain_device_list_from_udev=0}")
	}
	if out, err := exec.Command("lvm", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("lvm %s: %w: %s", args[0], err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}
