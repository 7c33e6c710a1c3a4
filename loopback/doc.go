// Package loopback attaches files to loop devices and makes the files.
//
// A pool that lives on files needs three things of the kernel's loop driver: a
// block device over a file, the same device found again after a restart, and a
// way to let file and device grow. This package gives those and no policy.
//
// # Attaching
//
// [Attach] binds a file to a free loop device in one step where the kernel can
// (LOOP_CONFIGURE, Linux 5.8), so that nobody ever sees a device half set up. On
// older kernels it takes go-losetup's two steps and sets block size and direct
// I/O afterwards. Two processes that pick the same free device at the same moment
// both succeed: the one that loses takes another. The device stays when the
// process ends; [Device.Detach] takes it away.
//
// With direct I/O the file's pages are not cached a second time, and a flush of
// the device is a flush of the file. Not every filesystem can do it; the kernel
// then falls back to cached I/O, and [Device.DirectIO] tells what was obtained.
//
// # Finding
//
// [Find] and [List] recognise a backing file by its device and inode numbers, as
// the kernel reports them, never by its path: a renamed, linked or bind-mounted
// file is still the same file.
//
// # Files
//
// [CreateImage] makes a sparse file that survives a power cut as soon as it
// returns, and never touches a file that exists. [GrowImage] never shrinks one.
//
// # Concurrency
//
// All functions and methods are safe for concurrent use. A [Device] is a
// description taken at one moment and holds nothing open; methods that change a
// loop device first make sure that it still is the device described.
package loopback
