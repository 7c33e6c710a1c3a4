// Package devmapper speaks the control interface of the Linux device-mapper:
// the ioctls on /dev/mapper/control, without libdevmapper, dmsetup or cgo.
//
// # Model
//
// A mapped device has a name, an optional UUID and room for two tables. [Client.Load]
// stages the inactive table, [Client.Resume] makes it the active one, suspending
// the device around the swap; [Client.Suspend] holds I/O back and, unless told
// otherwise, freezes a mounted filesystem first. A table is a list of targets,
// each mapping a run of sectors. A target of another program's making is kept as
// [Raw]. Operations select a device by a [Ref]: a name, a UUID or a device number.
//
// # Guarantees
//
// The package has no policy, keeps no state about devices and writes no log. Names
// and UUIDs are checked when they are made and never cut. An error is an [*Error]
// that says which operation on which device met which errno, and answers
// [errors.Is] for the sentinels of this package; what an errno means is decided
// for each operation (EBUSY from a create says that the name is taken, from a
// remove that the device is open). A query has three answers: yes, [ErrNotExist],
// or any other error, which means that nobody knows.
//
// Nodes in /dev/mapper are made and removed here, as the links that udev would
// make, so that programs find a device whether udev runs or not. Nothing waits for
// udev, and devices carry the flags that keep udev's other rules from opening them.
// What a death or a deferred removal leaves there is found by [Client.StaleNodes].
//
// No operation uses the control descriptor after it is closed: [Client.Close] waits for
// the operations that are under way, and those that begin later give [ErrClosed].
//
// # Concurrency
//
// A [Client] is safe for concurrent use, Close included. The kernel serialises what
// must be. A [Watcher] has a descriptor and event state of its own: one goroutine waits,
// any may close it, which ends the wait.
//
// # Debugging
//
// With DMDEBUG=1 in the environment every operation is printed to standard error.
package devmapper
