// Package snapshots is the driver: it keeps named, writable or finished block
// snapshots in one thin pool, and keeps them whole whatever dies when.
//
// # Model
//
// A snapshot is a thin device with a name, a parent and a filesystem. [Driver.Prepare]
// makes an active one, a writable copy of a committed parent or, without a parent,
// of a template that was formatted once. [Driver.Commit] finishes it under another
// name; a committed snapshot never changes again and may have children.
// [Driver.View] shows a committed snapshot read-only and costs no thin device.
// [Driver.Clone] copies an active snapshot while it is mounted and written to.
// [Driver.Remove] takes a name away at once; what it had is given back to the pool
// in the background.
//
// # Guarantees
//
// What a method has acknowledged survives a crash at any moment; what it has not
// leaves nothing behind. Every method first records in the catalog what it is about
// to do, then asks the kernel, and the answer of the kernel's own metadata decides
// at the next start: [Open] compares the catalog, the pool's list of thin devices
// and the live devices, and mends every combination that a crash can leave. What
// no crash can leave, such as a thin device that nobody knows, is reported and
// never deleted.
//
// Remove never waits: not for a device that is in use, not for a pool that is full,
// not for another operation. No lock and no transaction is held while the kernel or
// a disk works, but for one that keeps two operations off the same thin device.
//
// # Concurrency
//
// A [Driver] is safe for concurrent use. One process has a store at a time.
package snapshots
