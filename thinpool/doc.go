// Package thinpool manages one dm-thin pool and the thin devices in it.
//
// # Model
//
// A [Spec] is plain data: which two disks a pool stands on, its block size and its
// policies. A [Pool] is the live thing: [Create] formats one, [Open] finds one
// again or activates it. Inside it, a thin device is known by its id alone. The
// pool keeps no sizes: whoever activates a thin device says how large it is.
//
// A pool is [Working] in one of three modes, or [Failed]:
//
//	read-write --- no free data block ---> out of data space --- grow, delete ---> read-write
//	     \--- metadata full or broken ---> read-only (perhaps "needs check") --- grow, repair
//
// # Guarantees
//
// What the kernel does not enforce is enforced here. A snapshot of an origin that
// is active and writable is taken while the origin is suspended, and the origin is
// resumed whatever happened. Every message is followed by a look at the pool's
// status, because the kernel throws the result of a message's commit away: when
// the pool has turned read-only, the operation reports [ErrLost] and not success.
// A thin device is active under one name only; its UUID is the lock.
//
// Devices are known by their UUIDs, parsed whole ([ParseThinUUID], [IsPoolUUID]): a
// pool's name may end in what looks like a thin device's, and what belongs to another pool
// is never touched. [Devices] lists and takes away the devices of a pool that nobody can
// open.
//
// An activation finishes what a process that died left: a device without a table, without
// a node, suspended, smaller than it was to be, under another name, or with a table that
// was staged and never activated, which is dropped. A device that goes away meanwhile, by
// a removal at its last close, is made anew.
//
// The package keeps nothing on disk and has no state but the handles it is given.
//
// # Concurrency
//
// A Pool is safe for concurrent use, but for two operations on the same thin
// device, which its caller keeps apart. What reads metadata ends with its context, waiting
// for the pool's one metadata snapshot included. Operations on the device-mapper take as
// long as the kernel takes.
package thinpool
