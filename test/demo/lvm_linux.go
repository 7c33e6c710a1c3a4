package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/veneerdm/veneer/loopback"
	"github.com/veneerdm/veneer/test/lvmtest"
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
	if _, err := lvmtest.Run(d.ctx, "pvcreate", "--yes", dev.Path); err != nil {
		return err
	}
	_, err = lvmtest.Run(d.ctx, "vgcreate", volumeGroup, dev.Path)
	return err
}

func (d *demo) removeVolumeGroup() error {
	devices, err := loopback.Find(d.disk())
	if err != nil || len(devices) == 0 {
		return nil //nolint:nilerr // it was never made
	}
	_, err = lvmtest.Run(context.Background(), "vgremove", "--yes", "--force", volumeGroup)
	errs := []error{err}
	for _, dev := range devices {
		errs = append(errs, dev.Detach(context.Background()))
	}
	return errors.Join(errs...)
}
