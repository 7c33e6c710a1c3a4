package metadata

import (
	"errors"
	"fmt"

	"github.com/veneerdm/veneer/class"
)

// The classes of errors, for errors.Is.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = class.NotFound
	// ErrExists: the key is taken.
	ErrExists = class.Exists
	// ErrInUse: the snapshot has children or views.
	ErrInUse = class.InUse
	// ErrInvalid: the request contradicts the catalog's rules.
	ErrInvalid = class.Invalid
	// ErrLost: the pool has lost what the snapshot held.
	ErrLost = class.Lost
	// ErrLocked: another process has the catalog open.
	ErrLocked = class.Locked
	// ErrCorrupt: the file is not a catalog, or is damaged.
	ErrCorrupt = class.Wrap(errors.New("catalog is corrupt"), class.Inconsistent)
	// ErrDisk: the catalog's disk does not keep what it is given.
	ErrDisk = class.Disk
	// ErrVersion: the file was written by a later program.
	ErrVersion = class.Wrap(errors.New("catalog has an unknown format version"), class.Version)
	// ErrIDs: all 2^24 thin ids are taken.
	ErrIDs = class.Wrap(errors.New("no thin id is free"), class.PoolState)
)

// LockedError says who has the catalog. It is ErrLocked.
type LockedError struct {
	Path string
	PID  int // 0 when it cannot be told
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("catalog %s is in use by %s; wait until it ends", e.Path, who)
}

// Is says that it is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }
