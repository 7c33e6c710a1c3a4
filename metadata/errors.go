package metadata

import (
	"errors"
	"fmt"
)

// The classes of errors, for errors.Is.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("not found")
	// ErrExists: the key is taken.
	ErrExists = errors.New("already exists")
	// ErrInUse: the snapshot has children or views.
	ErrInUse = errors.New("in use")
	// ErrInvalid: the request contradicts the catalog's rules.
	ErrInvalid = errors.New("invalid request")
	// ErrLocked: another process has the catalog open.
	ErrLocked = errors.New("catalog is locked")
	// ErrCorrupt: the file is not a catalog, or is damaged.
	ErrCorrupt = errors.New("catalog is corrupt")
	// ErrDisk: the catalog's disk does not keep what it is given.
	ErrDisk = errors.New("the disk does not keep what is written")
	// ErrVersion: the file was written by a later program.
	ErrVersion = errors.New("catalog has an unknown format version")
	// ErrIDs: all 2^24 thin ids are taken.
	ErrIDs = errors.New("no thin id is free")
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
