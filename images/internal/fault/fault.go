// Package fault holds the error classes that the packages of images share, so
// that one class has one identity whichever package meets it first.
//
// It is internal: callers find the classes under their public names, such as
// images.ErrHostile and layer.ErrHostile, which are these same values.
package fault

import "errors"

// The classes. Each is one noun phrase that ends a sentence.
var (
	ErrHostile        = errors.New("the layer is hostile")
	ErrMalformed      = errors.New("malformed image")
	ErrTruncated      = errors.New("content ends too early")
	ErrDigestMismatch = errors.New("digest does not match")
	ErrNotFound       = errors.New("not found")
)
