package dmtest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/veneerdm/veneer/devmapper"
)

// PublishDevices has a file dm-N in a folder for every device that has, or had, a table,
// as devtmpfs has since Linux 5.15. With devmapper.NewWithNodes and a folder inside that
// one, clients make their links to them. It panics when the folder cannot be written.
func (k *Kernel) PublishDevices(dir string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.devDir = dir
	for _, d := range k.devices {
		k.publish(d)
	}
}

func (k *Kernel) published(d *device) string {
	return filepath.Join(k.devDir, fmt.Sprint("dm-", d.minor))
}

func (k *Kernel) publish(d *device) {
	if k.devDir == "" || d.active == nil && d.inactive == nil {
		return
	}
	if err := os.WriteFile(k.published(d), nil, 0o600); err != nil {
		panic(err)
	}
}

func (k *Kernel) unpublish(d *device) {
	if k.devDir == "" {
		return
	}
	if err := os.Remove(k.published(d)); err != nil && !os.IsNotExist(err) {
		panic(err)
	}
}

// SetInterface has the kernel answer as version 4.minor of the interface does: below 4.45
// lists are not filtered, below 4.44 they have no UUIDs, below 4.41 one target's version
// cannot be asked, below 4.37 events cannot be polled. Clients ask the version once.
func (k *Kernel) SetInterface(minor uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.minor = minor
}

// AddThin puts a thin device into the pool on that metadata disk that nobody recorded. It
// is false when there is no such pool, or it has the id.
func (k *Kernel) AddThin(metadata devmapper.DevNo, id uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pools[metadata]
	return p != nil && id <= maxThinID && p.createThin(id) == nil
}

// LoseThin takes a thin device out of the pool on that metadata disk, behind everybody's
// back and whether or not it is active, as lost metadata does. Its data blocks are free. It
// is false when there is no such pool or thin device.
func (k *Kernel) LoseThin(metadata devmapper.DevNo, id uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pools[metadata]
	if p == nil || p.thins[id] == nil {
		return false
	}
	p.remove(p.thins[id])
	return true
}

// SetTime sets the snapshot time of the pool on that metadata disk, as after so many
// snapshots. It is false when there is no such pool.
func (k *Kernel) SetTime(metadata devmapper.DevNo, time uint32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pools[metadata]
	if p == nil {
		return false
	}
	p.time = time
	return true
}
