// Package durable changes directory entries so that the change is still there after a
// power cut.
//
// POSIX promises nothing about a name until the directory that holds it has been
// synced: fsync of a file writes its content and its inode, and rename(2) alone changes
// the directory in memory. Each function here returns after fsync of every directory
// that it has changed. When the fsync fails, the change is made and a crash may undo it;
// the error wraps what fsync said, and a caller that needs the change repeats it or
// stops.
//
// A rename replaces whatever has the name, a device node or a symbolic link included
// (rename(2)). WriteFile therefore refuses to replace anything but a regular file.
//
// All functions are safe for concurrent use. Two writers of one path do not mix: each
// has its own temp file, and the last rename is what stays.
package durable
