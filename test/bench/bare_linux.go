package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata/dmthin"
	"github.com/veneerdm/veneer/snapshots"
)

// firstBare is above any thin id that a driver has given out here.
const firstBare = 1 << 23

// bare issues ioctls on a driver's pool behind its back, and nothing else: no
// catalog, no status, no nodes. It leaves nothing in the pool.
type bare struct {
	dm   *devmapper.Client
	pool devmapper.DevNo
	next dmthin.ThinID
}

// thin is a bare thin device.
type thin struct {
	id   dmthin.ThinID
	name devmapper.Name
	dev  devmapper.DevNo
}

func newBare(kernel devmapper.Transport, pool string) (*bare, error) {
	name, err := devmapper.NewName(pool)
	if err != nil {
		return nil, err
	}
	dm := devmapper.New(kernel)
	info, err := dm.Info(devmapper.ByName(name))
	if err != nil {
		return nil, err
	}
	return &bare{dm: dm, pool: info.Dev, next: firstBare}, nil
}

// fresh names a thin device that is not there yet.
func (b *bare) fresh() (t thin, err error) {
	b.next++
	t.id = b.next
	t.name, err = devmapper.NewName(fmt.Sprintf("bare-%s", t.id))
	return t, err
}

func (b *bare) message(format string, args ...any) error {
	_, err := b.dm.Message(devmapper.ByDev(b.pool), 0, fmt.Sprintf(format, args...))
	return err
}

func (b *bare) snapshot(t thin, origin dmthin.ThinID) error {
	return b.message("create_snap %s %s", t.id, origin)
}

func (b *bare) delete(t thin) error { return b.message("delete %s", t.id) }

// activate shows the thin device id as t.
func (b *bare) activate(t *thin, id dmthin.ThinID, size uint64, mode devmapper.Mode) error {
	table := devmapper.Single(devmapper.Sectors(size/devmapper.SectorSize), devmapper.Thin{Pool: b.pool, ID: uint32(id)})
	info, err := b.dm.Activate(t.name, devmapper.UUID{}, table, mode)
	t.dev = info.Dev
	return err
}

func (b *bare) deactivate(t thin) error { return b.dm.Remove(devmapper.ByName(t.name)) }

// path is the node that the kernel itself makes.
func (t thin) path() string { return fmt.Sprintf("/dev/dm-%d", t.dev.Minor) }

func (t thin) mount() snapshots.Mount { return snapshots.Mount{Type: "ext4", Source: t.path()} }

// flush writes a device's cache to it.
func flush(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fsync(fd), unix.Close(fd))
}
