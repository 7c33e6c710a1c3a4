package class

import (
	"context"
	"io/fs"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/veneerdm/veneer/devmapper"
	"github.com/veneerdm/veneer/internal/command"
)

// The classes.
var (
	// Canceled: the caller gave up.
	Canceled = &Class{text: "canceled", word: "canceled", exit: ExitFailure, code: codes.Canceled, also: []error{context.Canceled}}
	// Deadline: it took longer than the caller wanted to wait.
	Deadline = &Class{text: "took too long", word: "deadline", exit: ExitFailure, code: codes.DeadlineExceeded, also: []error{context.DeadlineExceeded}}
	// TooLarge: something is larger than the disk that it is for.
	TooLarge = &Class{text: "disk too small", word: "too large", exit: ExitFailure, code: codes.InvalidArgument}
	// NoSpace: the pool has too little data or metadata space left, or a disk below it
	// has. Growing it or removing something helps.
	NoSpace = &Class{text: "pool out of space", word: "no space", exit: ExitPool, code: codes.ResourceExhausted,
		also: []error{devmapper.ErrNoSpace, syscall.ENOSPC, syscall.EDQUOT}}
	// PoolState: the pool is read-only, failed or needs a check, and refuses changes.
	PoolState = &Class{text: "pool does not accept changes", word: "pool state", exit: ExitPool, code: codes.Unavailable,
		also: []error{devmapper.ErrReadOnly}}
	// Permission: only root may.
	Permission = &Class{text: "permission denied", word: "permission", exit: ExitFailure, code: codes.PermissionDenied,
		also: []error{devmapper.ErrPermission}}
	// NotSupported: this kernel or machine lacks something that is needed, such as a
	// program that is not installed.
	NotSupported = &Class{text: "not supported", word: "not supported", exit: ExitFailure, code: codes.Unimplemented,
		also: []error{devmapper.ErrNotSupported, command.ErrNotInstalled}}
	// Lost: the pool has lost what the snapshot held. It can be removed, or made again.
	Lost = &Class{text: "content is lost", word: "lost", exit: ExitPool, code: codes.FailedPrecondition}
	// Inconsistent: catalog, pool and devices disagree, or the catalog is damaged.
	Inconsistent = &Class{text: "store is inconsistent", word: "inconsistent", exit: ExitPool, code: codes.DataLoss}
	// Version: a file was written by a later program.
	Version = &Class{text: "unknown format version", word: "version", exit: ExitPool, code: codes.FailedPrecondition}
	// Disk: the disk of the catalog does not keep what it is given.
	Disk = &Class{text: "the disk does not keep what is written", word: "disk", exit: ExitPool, code: codes.Unavailable}
	// Locked: another process has the store open.
	Locked = &Class{text: "store is in use by another process", word: "locked", exit: ExitInUse, code: codes.Unavailable}
	// Closed: the driver has been closed.
	Closed = &Class{text: "driver is closed", word: "closed", exit: ExitFailure, code: codes.Unavailable}
	// InUse: children, views or holders forbid it. containerd's garbage collection goes
	// on after a failed precondition, and only after that.
	InUse = &Class{text: "in use", word: "in use", exit: ExitInUse, code: codes.FailedPrecondition}
	// Exists: the key is taken.
	Exists = &Class{text: "already exists", word: "exists", exit: ExitInUse, code: codes.AlreadyExists}
	// FileExists: a file that was to be made is there. It is not Exists: containerd takes
	// that for success, and a thin id that is taken is none.
	FileExists = &Class{text: "file exists", word: "file exists", exit: ExitInUse, code: codes.FailedPrecondition, also: []error{fs.ErrExist}}
	// Foreign: a device, or what is on it, belongs to somebody else.
	Foreign = &Class{text: "belongs to somebody else", word: "foreign", exit: ExitInUse, code: codes.FailedPrecondition}
	// Ambiguous: a name fits several things.
	Ambiguous = &Class{text: "ambiguous", word: "ambiguous", exit: ExitUsage, code: codes.InvalidArgument}
	// InvalidReference: the words can name no image, whatever exists.
	InvalidReference = &Class{text: "invalid image reference", word: "invalid reference", exit: ExitUsage, code: codes.InvalidArgument}
	// InvalidChange: a change to an image's configuration is not one that is known.
	InvalidChange = &Class{text: "invalid change", word: "invalid change", exit: ExitUsage, code: codes.InvalidArgument}
	// Unauthorized: the registry refuses access with the credentials at hand.
	Unauthorized = &Class{text: "access refused", word: "unauthorized", exit: ExitFailure, code: codes.Unauthenticated}
	// Insecure: a registry that is not this machine would have to be spoken to without
	// encryption.
	Insecure = &Class{text: "plain http is for registries on this machine only", word: "insecure", exit: ExitFailure, code: codes.FailedPrecondition}
	// DigestMismatch: content differs from what its digest or size promises.
	DigestMismatch = &Class{text: "digest does not match", word: "digest mismatch", exit: ExitFailure, code: codes.DataLoss}
	// Truncated: a blob or an archive ends too early.
	Truncated = &Class{text: "content ends too early", word: "truncated", exit: ExitFailure, code: codes.DataLoss}
	// Hostile: a layer tries to leave its root or exceeds a limit.
	Hostile = &Class{text: "the layer is hostile", word: "hostile", exit: ExitFailure, code: codes.InvalidArgument}
	// Malformed: what was found is no image, or one that contradicts itself.
	Malformed = &Class{text: "malformed image", word: "malformed", exit: ExitFailure, code: codes.InvalidArgument}
	// NoPlatform: the image exists, but not for the platform asked for.
	NoPlatform = &Class{text: "no image for this platform", word: "no platform", exit: ExitNotFound, code: codes.NotFound}
	// Invalid: the request can never succeed as it stands.
	Invalid = &Class{text: "invalid request", word: "invalid", exit: ExitUsage, code: codes.InvalidArgument}
	// NotFound: there is no such snapshot, image, blob or file.
	NotFound = &Class{text: "not found", word: "not found", exit: ExitNotFound, code: codes.NotFound}
)

// table is the order in which classes are looked for: what an operator has to know
// before what a program does about it.
var table = []*Class{
	Canceled, Deadline, TooLarge, NoSpace, PoolState, Permission, NotSupported, Lost, Inconsistent, Version, Disk,
	Locked, Closed, InUse, Exists, Foreign, Ambiguous, InvalidReference, InvalidChange, Unauthorized, Insecure,
	DigestMismatch, Truncated, Hostile, Malformed, NoPlatform, Invalid, NotFound,
	FileExists,
}
