package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench/tool"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/loopback"
)

// sweepPatience bounds the waits for others to let go of something: the kernel, or what
// a run that was killed had started. It is long enough for a slow machine.
const sweepPatience = 2 * time.Minute

// sweepPause is how often what is open is tried again.
const sweepPause = 20 * time.Millisecond

// sweep takes away mounts, devices, loop devices and files, in the order in which they
// stand on each other.
func (f *Folder) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepPatience)
	defer cancel()
	err := errors.Join(f.unmountAll(), f.exportPools(ctx), f.removeDevices(ctx), f.detachLoops(ctx))
	if err != nil {
		return fmt.Errorf("take away what %s made: %w", f.Name, err)
	}
	return os.RemoveAll(f.Path)
}

// within tells whether a path is inside the folder.
func (f *Folder) within(path string) bool { return strings.HasPrefix(path, f.Path+"/") }

// unmountAll unmounts what is mounted inside the folder, the newest first.
func (f *Folder) unmountAll() error {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return !f.within(m.Mountpoint), false })
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		err := unix.Unmount(m.Mountpoint, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(m.Mountpoint, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}

// exportPools destroys the run's ZFS pools, which the kernel holds without a mount.
func (f *Folder) exportPools(ctx context.Context) error {
	if tool.Zpool.Installed() != nil {
		return nil
	}
	out, err := tool.Zpool.Run(ctx, "list", "-H", "-o", "name")
	if err != nil {
		return nil //nolint:nilerr // no ZFS in this kernel, so no pools
	}
	var errs []error
	for pool := range strings.FieldsSeq(out) {
		if ours(pool, f.Name) {
			_, err := tool.Zpool.Run(ctx, "destroy", "-f", pool)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeDevices removes device-mapper devices whose names begin with the run's: those
// that others stand on go when the others are gone, and those that are open, as by an mkfs
// that outlives its run, when they are closed.
func (f *Folder) removeDevices(ctx context.Context) error {
	dm, err := devmapper.Open()
	if errors.Is(err, devmapper.ErrNotSupported) || errors.Is(err, devmapper.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return nil // then there are none
	}
	if err != nil {
		return err
	}
	defer func() { _ = dm.Close() }() // nothing was written to it
	for {
		entries, err := dm.List(f.Name + "-")
		if err != nil || len(entries) == 0 {
			return err
		}
		var errs []error
		removed := false
		for _, e := range entries {
			name, err := devmapper.NewName(e.Name)
			if err == nil && ours(e.Name, f.Name) {
				_ = dm.Resume(devmapper.ByName(name)) // a suspended one would keep its writers waiting
				err = dm.Remove(devmapper.ByName(name))
			}
			removed = removed || err == nil
			errs = append(errs, err)
		}
		if removed {
			continue
		}
		err = errors.Join(errs...)
		if !errors.Is(err, devmapper.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(sweepPause):
		}
	}
}

// detachLoops detaches the loop devices over files in the folder.
func (f *Folder) detachLoops(ctx context.Context) error {
	devices, err := loopback.List()
	if err != nil {
		if errors.Is(err, loopback.ErrNoLoop) {
			return nil
		}
		return err
	}
	var errs []error
	for _, d := range devices {
		if !f.within(strings.TrimSuffix(d.BackingFile, " (deleted)")) {
			continue
		}
		if err := d.Detach(ctx); err != nil && !errors.Is(err, loopback.ErrNotAttached) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
