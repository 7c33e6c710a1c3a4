package snapstest

import (
	"testing"

	"github.com/veneerdm/veneer/snapshots"
)

// Machine is what a driver under test runs on.
type Machine interface {
	// Config is for Open and CreatePool. Every call gives the same store.
	Config() snapshots.Config
	// Options are for CreatePool.
	Options() snapshots.PoolOptions
	// Mount mounts a snapshot.
	Mount(t testing.TB, m snapshots.Mount) Volume
	// Crash lets go of a volume as a machine does that loses the power: what was put is
	// on disk, and the filesystem was not unmounted.
	Crash(t testing.TB, v Volume)
	// Hold opens a snapshot's device, as a virtual machine does, until release is called.
	Hold(t testing.TB, m snapshots.Mount) (release func())
	// Reboot takes everything away that a reboot does.
	Reboot(t testing.TB)
	// CheckPool examines what a deactivated pool has on its disks.
	CheckPool(t testing.TB)
	// LeftOver names devices and the like that are there and should not be once a
	// pool is destroyed.
	LeftOver(t testing.TB) []string
}

// Volume is a mounted snapshot.
type Volume interface {
	// Put writes a file of the volume's root. It is on disk when the volume is
	// unmounted or synced.
	Put(name, content string) error
	// Get reads a file; "" for none.
	Get(name string) (string, error)
	// Size is how many bytes the filesystem believes to have, roughly.
	Size() uint64
	Unmount() error
}
