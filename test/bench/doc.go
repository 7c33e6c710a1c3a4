// Command bench measures Veneer beside the floor of each operation, in one process
// and one run: what the kernel alone takes for the same thing. It prints one table.
//
//	make bench
//	bin/vm -- bin/bench [-strict] [-only REGEXP] [-n REPETITIONS]
//
// # What a floor is
//
// The floor of an operation on snapshots is its device-mapper ioctls, and for a
// commit the flush of the device, issued bare: no catalog, no check of the pool's
// status, no node in /dev/mapper. The floor of an import is GNU tar, unpacking the
// same layers into a plain ext4 on the same disk. Both sides are measured in turn,
// A B A B, the order changing each time, on the same pool; every number is a
// median. A first repetition of each is thrown away.
//
// Beside the times stand counts that no machine changes: how many ioctls of the
// device-mapper and how many transactions of the catalog an operation takes.
//
// # Exit status
//
// 0 when everything could be measured; with -strict, 1 when a target was missed.
package main
