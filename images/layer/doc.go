// Package layer applies image layers to a directory tree and makes layers out of
// the difference of two trees. It is the part of images that touches files.
//
// # Apply
//
// Apply unpacks a layer tar, as the OCI image specification defines it, into an
// open directory: whiteouts, opaque whiteouts, hard links (also to files of lower
// layers), symbolic links, devices, sparse files, extended attributes, owners and
// times. It never names an absolute path: each entry's parent is walked component
// by component with O_NOFOLLOW from the root's descriptor, and a symbolic link on
// the way is read and resolved inside the root by hand. A tar can therefore
// neither write nor read anything outside the root, on any kernel. Whatever else
// a hostile tar may try - names with "..", endless depth, a petabyte of zeros - is
// bounded by Limits and reported as ErrHostile with the entry's name.
//
// The result is a function of the layer and the tree below: an entry's order in
// the tar does not change what whiteouts remove, a later entry for the same name
// wins, and directories that a layer changes without listing them keep their
// times.
//
// The caller must be the only one who changes the tree meanwhile.
//
// # Decompress
//
// Decompress turns a compressed layer into a tar and its DiffID, in goroutines of
// its own and a fixed amount of memory.
//
// # Changes and Diff
//
// Changes compares two trees and lists what differs; Diff writes the list as a
// layer such that Apply of it over the lower tree gives the upper one.
//
// Functions of this package may be called concurrently on different trees.
package layer
