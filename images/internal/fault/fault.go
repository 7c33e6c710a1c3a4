// Package fault holds the error classes that the packages of images share, so
// that one class has one identity whichever package meets it first.
//
// It is internal: callers find the classes under their public names, such as
// images.ErrHostile and layer.ErrHostile, which are these same values.
package fault

import "github.com/veneerdm/veneer/class"

// The classes. Each is one noun phrase that ends a sentence.
var (
	ErrHostile        = class.Hostile
	ErrMalformed      = class.Malformed
	ErrTruncated      = class.Truncated
	ErrDigestMismatch = class.DigestMismatch
	ErrNotFound       = class.NotFound
)
