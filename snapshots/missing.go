package snapshots

import (
	"errors"
	"fmt"
	"strings"

	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/metadata"
	"github.com/veneerdm/veneer/snapshots/disk"
	"github.com/veneerdm/veneer/thinpool"
)

// explainMissing tells a missing catalog from a lost one: devices that are active
// say that there was one.
func (d *Driver) explainMissing(err error) error {
	if errors.Is(err, metadata.ErrCorrupt) {
		return fmt.Errorf("%w; nothing was written; see \"veneer doctor\", and put a good copy back or have \"veneer doctor --fix\" mend it", class.Ensure(err))
	}
	if !errors.Is(err, metadata.ErrNotFound) {
		return class.Ensure(err)
	}
	const cure = "put the catalog back, or have \"veneer doctor --fix\" make one of what the pool tells"
	if files := d.poolFiles(); len(files) > 0 {
		return fmt.Errorf("%w: %w, but %s holds a pool; %s", ErrInconsistent, err, files[0], cure)
	}
	entries, listErr := d.dm.List("")
	if listErr != nil {
		return errors.Join(class.Ensure(err), listErr)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.UUID, thinpool.UUIDPrefix) && d.ours(e) {
			return fmt.Errorf("%w: %w, but the device %s of this store is active; %s", ErrInconsistent, err, e.Name, cure)
		}
	}
	return fmt.Errorf("%w; make a pool with \"veneer pool create\"", class.Ensure(err))
}

// ours says whether a device stands on files in the store's folder.
func (d *Driver) ours(e devmapper.Entry) bool {
	deps, err := d.dm.Deps(devmapper.ByDev(e.Dev))
	if err != nil {
		return false
	}
	for _, dev := range deps {
		if disk.BackedBelow(dev, d.config.Root) {
			return true
		}
	}
	return false
}
