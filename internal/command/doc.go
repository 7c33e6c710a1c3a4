// Package command runs the programs that have no form as a library: mkfs, fsck, lvm,
// thin_check and their like. It is the one place of the product that starts a process.
//
// A program is started without a shell, with LC_ALL=C, with nothing on its standard
// input unless the caller gives it something, and in a process group of its own, so
// that a Ctrl-C in the terminal reaches us and not it. When the context ends, the whole
// group is killed with SIGKILL. When this process dies, the kernel kills the program
// (PR_SET_PDEATHSIG): a mkfs that went on would write to a device that the next process
// has given to somebody else.
//
// Standard output is returned whole. Of standard error a bounded part from both ends is
// kept, and quoted in the error in one line without control characters: names that come
// from a hostile filesystem's label reach the operator's terminal through it.
//
// An error is ErrNotInstalled, or an *Error, which unwraps to *exec.ExitError and, for a
// program that was killed because its context ended, to the context's error.
//
// All functions are safe for concurrent use. Each run occupies one thread.
package command
