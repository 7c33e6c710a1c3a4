// Package metadatatest wraps a catalog for tests: a fault hook is asked before every
// change, and an error from it is what the change answers, with nothing changed.
//
// The wrapper is safe for concurrent use when the hook is.
package metadatatest
