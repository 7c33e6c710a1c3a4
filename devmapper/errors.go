package devmapper

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/veneerdm/veneer/devmapper/internal/uapi"
)

// The classes of errors, for errors.Is. ErrNotExist is also fs.ErrNotExist,
// ErrExist also fs.ErrExist, ErrPermission also fs.ErrPermission.
var (
	ErrNotExist     = fmt.Errorf("no such device: %w", fs.ErrNotExist)
	ErrExist        = fmt.Errorf("device exists: %w", fs.ErrExist)
	ErrPermission   = fmt.Errorf("not permitted: %w", fs.ErrPermission)
	ErrBusy         = errors.New("device is busy")
	ErrInvalid      = errors.New("invalid argument")
	ErrNotSupported = errors.New("not supported")
	// ErrReadOnly: a pool that is read-only or has failed refuses every message.
	ErrReadOnly = errors.New("pool refuses changes")
	// ErrCorrupt: what should be a pool's metadata is not, or is damaged.
	ErrCorrupt = errors.New("metadata is corrupt or of another kind")
	ErrNoSpace = errors.New("no space left")
)

// Error is a failed operation. It unwraps to the errno, and errors.Is also finds
// the class that the errno has for this operation.
type Error struct {
	Op     string // operation, in the words of dm-ioctl.h
	Device string // what it was done to, as the caller named it; "" for the interface
	Detail string // message text or table line, where it helps
	Errno  syscall.Errno
	class  error
}

func (e *Error) Error() string {
	s := "devmapper: " + e.Op
	if e.Device != "" {
		s += " " + e.Device
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s + ": " + e.Errno.Error()
}

// Unwrap gives the errno and its class.
func (e *Error) Unwrap() []error {
	if e.class == nil {
		return []error{e.Errno}
	}
	return []error{e.Errno, e.class}
}

// anyOperation holds what an errno means unless the operation says otherwise.
var anyOperation = map[syscall.Errno]error{
	syscall.EACCES:     ErrPermission,
	syscall.EPERM:      ErrPermission,
	syscall.ENOTTY:     ErrNotSupported,
	syscall.ENXIO:      ErrNotExist,
	syscall.EBUSY:      ErrBusy,
	syscall.EINVAL:     ErrInvalid,
	syscall.ENOSPC:     ErrNoSpace,
	syscall.EEXIST:     ErrExist,
	syscall.EOPNOTSUPP: ErrNotSupported,
}

// byOperation is measured on Linux 6.1 and read from drivers/md/dm-ioctl.c,
// dm-thin.c and dm-thin-metadata.c.
var byOperation = map[uapi.Command]map[syscall.Errno]error{
	uapi.DevCreate: {syscall.EBUSY: ErrExist},
	uapi.DevRename: {syscall.EBUSY: ErrExist},
	uapi.TableLoad: {
		syscall.ENODATA: ErrNotExist, // thin: the pool has no such id
		syscall.ENOTBLK: ErrCorrupt,  // thin-pool: the superblock's checksum is wrong
		syscall.EILSEQ:  ErrCorrupt,
		syscall.EPERM:   ErrReadOnly, // thin-pool: read_only over blank metadata
	},
	uapi.TargetMessage: {
		syscall.ENODATA:    ErrNotExist,
		syscall.EOPNOTSUPP: ErrReadOnly,
		syscall.EROFS:      ErrReadOnly,
		syscall.EPERM:      ErrReadOnly, // dm_bm_write_lock: the pool turned read-only just now
	},
	uapi.GetTargetVersion: {syscall.EINVAL: ErrNotExist},
	uapi.DevArmPoll:       {syscall.ENOTTY: ErrNotSupported},
}

func classify(cmd uapi.Command, errno syscall.Errno) error {
	if class, ok := byOperation[cmd][errno]; ok {
		return class
	}
	return anyOperation[errno]
}
