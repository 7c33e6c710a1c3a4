// Package disk makes and finds the two disks that a pool stands on, its data and its
// metadata: files as loop devices, block devices that were given, or logical volumes.
//
// # Model
//
// [Disks] is the one interface; [ForBacking] gives the implementation for a kind of
// backing. Create makes the disks once, Attach makes them usable as after each boot and
// says where they are, Detach is its opposite, Delete destroys what Create made. The
// methods get the pool's record, which names the files, devices or volumes, and keep
// nothing between calls.
//
// # Guarantees
//
// Each method may be repeated after a crash or an error. Attach detaches again what it
// attached when it fails, and only that. Nothing is written over: what exists where a
// disk is to be made is refused by Vacant and by Create, and Delete destroys files and
// volumes of those names, and devices that hold a pool's metadata.
//
// A program of LVM's that is not installed is class.NotSupported, and the message names
// its package.
//
// # Concurrency
//
// Two calls about one pool at the same time are the caller's to avoid.
package disk
