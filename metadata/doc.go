// Package metadata keeps the driver's catalog: which snapshot is which thin device,
// what its parent is, and which operations are in flight.
//
// # Model
//
// One file holds a pool's record, the snapshots by their keys, the templates that
// base snapshots are taken from, the trash (thin devices that are to be deleted)
// and the images' records. A thin id is in exactly one place: a snapshot, a
// template or the trash. Ids are handed out in a circle of 2^24 and so are not
// used again soon. A state is stored as a word.
//
// # Guarantees
//
// Every method that changes something is one transaction, on disk (fsync) when it
// returns; after an error nothing has changed. The exception is [ErrDisk]: whether the
// disk has the change is seen when the catalog is opened again, and until then it takes
// no other. A crash at any moment leaves the state before or after; a new catalog has
// its name when it is whole. What a snapshot needs, its parent and its absence of
// children, is checked inside the transaction that depends on it. One process has
// the catalog at a time; another one is told who.
//
// # Concurrency
//
// A [Catalog] is safe for concurrent use: readers see the last finished
// transaction and never wait for a writer.
package metadata
