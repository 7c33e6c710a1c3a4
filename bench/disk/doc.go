// Package disk makes the disks that stores stand on: sparse files in a folder, or
// slices of a block device that its owner gave away.
//
// Every backend gets disks of one kind and size. Files are attached as loop devices
// with direct I/O, so that a flush of the device is a flush of the file and nothing is
// cached twice. Slices are linear device-mapper targets. What goes through is counted
// by the kernel for each part (Documentation/block/stat.rst), so a count has all that a
// filesystem or a pool wrote for itself.
//
// # What belongs to a run
//
// Everything that a run makes is found again without a record of it, and by [Sweep]:
// files and mount points lie in the run's own folder, loop devices are over those
// files, device-mapper names begin with the run's name. Nothing else is ever touched.
//
// A [Source] is safe for concurrent use; a disk is used by one goroutine at a time.
package disk
