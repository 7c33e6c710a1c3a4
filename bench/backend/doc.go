// Package backend has the ways to give containers writable copies of an image that the
// benchmark compares, one file each.
//
// All of them stand on a fresh disk of the same kind and size, formatted by the same
// rules, and keep everything on it, Veneer's catalog included: what the block layer
// counts is all that a backend writes. None of them skips a sync, except where its
// name says so (overlay-volatile).
//
// [All] lists them, [Find] finds one by name. What a machine cannot run is not hidden:
// its Ready says in one sentence what is missing. A Backend is a value and safe for
// concurrent use; for its stores see bench.Store.
package backend
