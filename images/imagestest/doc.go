// Package imagestest gives tests of image handling a driver without a
// device-mapper: snapshots that are plain directories, each a full copy of its
// parent, and a catalog in memory.
//
// Directories keeps the rules of the driver - keys, kinds, parents, children -
// and counts calls, and can be told to fail one of them. It needs root only if
// what is put into it does.
package imagestest
