package images

import (
	"github.com/veneerdm/veneer/class"
	"github.com/veneerdm/veneer/images/internal/fault"
	"github.com/veneerdm/veneer/snapshots"
)

// The classes of errors, for errors.Is. Errors of the driver (package snapshots)
// and of the kernel keep their own: a full pool is snapshots.ErrNoSpace or ENOSPC.
var (
	// ErrNotFound: there is no such image, blob or file.
	ErrNotFound = fault.ErrNotFound
	// ErrAmbiguous: the name fits several images; the message lists them.
	ErrAmbiguous = class.Ambiguous
	// ErrInvalidReference: the argument can name no image, whatever exists.
	ErrInvalidReference = class.InvalidReference
	// ErrInvalidChange: a change to a configuration is not one that Commit knows.
	ErrInvalidChange = class.InvalidChange
	// ErrNoPlatform: the image exists, but not for the platform asked for.
	ErrNoPlatform = class.NoPlatform
	// ErrMalformed: what was found is no image, or one that contradicts itself.
	ErrMalformed = fault.ErrMalformed
	// ErrHostile: a layer tries to leave its root or exceeds a limit.
	ErrHostile = fault.ErrHostile
	// ErrTruncated: a blob or an archive ends too early.
	ErrTruncated = fault.ErrTruncated
	// ErrDigestMismatch: content differs from what its digest or size promises.
	ErrDigestMismatch = fault.ErrDigestMismatch
	// ErrTooLarge: a layer does not fit on its disk.
	ErrTooLarge = class.TooLarge
	// ErrUnauthorized: the registry refuses access with the credentials at hand.
	ErrUnauthorized = class.Unauthorized
	// ErrInsecure: a registry that is not this machine would have to be spoken to
	// without encryption.
	ErrInsecure = class.Insecure
	// ErrInUse: a container or another image needs what was to be removed.
	ErrInUse = snapshots.ErrInUse
)
