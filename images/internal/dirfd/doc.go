// Package dirfd works on the files of one directory through a descriptor of it.
//
// Every call names a single path component below an open directory and none
// follows a symbolic link in that component, so no content of a tree can lead a
// caller out of it. Walking several components, and deciding what to do about a
// link met on the way, is the business of the packages above.
//
// The calls are one system call each wherever the kernel allows, return the bare
// errno (compare with errors.Is) and are safe for concurrent use as far as the
// kernel's own calls are.
package dirfd
