package snapshots

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/thinpool"
)

// staleNodes gives the names in /dev/mapper of thin devices of the pool that have no
// device. The next device with that minor number would be opened by them.
func (d *Driver) staleNodes() ([]devmapper.Name, error) {
	return d.dm.StaleNodes(func(name string) bool {
		_, ours := thinpool.ParseThinName(d.record.Name, name)
		return ours
	})
}

// sweepNodes removes stale names at a start. One that cannot be removed is logged.
func (d *Driver) sweepNodes() {
	names, err := d.staleNodes()
	for _, name := range names {
		err = errors.Join(err, d.removeNode(name))
	}
	if err != nil {
		d.log.WithError(err).Warn("names without a device stay in /dev/mapper")
	}
}

func (d *Driver) removeNode(name devmapper.Name) error {
	if err := d.dm.RemoveStaleNode(name); err != nil && !errors.Is(err, devmapper.ErrExist) {
		return err
	}
	return nil // it is gone, or a device has it by now
}

// examineNodes tells of stale names, and removes them with fix.
func (d *Driver) examineNodes(fix bool) (findings []Finding, err error) {
	names, err := d.staleNodes()
	for _, name := range names {
		f := Finding{What: fmt.Sprintf("%s is there and its device is not", name.Path()), Cure: "remove the name"}
		if fix {
			failed := d.removeNode(name)
			f.Done = failed == nil
			err = errors.Join(err, failed)
		}
		findings = append(findings, f)
	}
	return findings, err
}
