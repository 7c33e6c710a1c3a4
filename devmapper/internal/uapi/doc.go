// Package uapi encodes and decodes the bytes of the device-mapper control
// interface, include/uapi/linux/dm-ioctl.h, in both directions: what a program
// sends and what the kernel (or a fake of it) answers.
//
// It has no file descriptor, makes no system call and knows no policy. All
// numbers are in the machine's own byte order, as the kernel wants them. Every
// decoder checks its bounds: bytes from a kernel are trusted no more than any
// others. Everything here is a pure function and safe for concurrent use.
package uapi
