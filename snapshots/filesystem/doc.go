// Package filesystem is everything that the driver knows about the filesystem inside a
// snapshot: how one is made, mounted, grown, recognised, and whether its log is to be
// replayed.
//
// # Model
//
// A [Kind] is one kind of filesystem; [ByName] finds one by the name that mount(2), the
// catalog and the command line use. ext4.go and xfs.go are the kinds that there are. A
// third one is a file beside them and a line in the list of kind.go: no other product
// file compares these names, which a test of test/policy proves.
//
// A [Mount] says how to mount a block device, a [Tree] is one that is mounted where
// nobody sees it. [Look] and [Identify] read a device in Go, without the kernel's help:
// which kind it holds, how large that is, and with Look whether its log is clean. What
// they read goes past the page cache, so it is what a mount after a power cut would find.
//
// # Guarantees
//
// Look says that a log needs no replay only if the kernel would mount the device
// read-only without writing to it. Where it cannot tell, it says that a replay is needed,
// which costs a mount and nothing else.
//
// Options for a read-only mount never make the kernel skip a log: a filesystem whose log
// is dirty does not mount read-only from a read-only device, and is not shown with half
// of its changes.
//
// Errors about what is on a device wrap the errno and name the device. A program that is
// not installed is class.NotSupported, and the message names the package that has it.
//
// # Concurrency
//
// Kinds have no state. A Mount is a value. A Tree is for one goroutine at a time, but its
// descriptor may be used by several until Close.
package filesystem
