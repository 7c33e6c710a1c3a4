// Command cowbench measures copy-on-write: which way of giving containers a writable
// copy of an image suits which workload, with numbers from the machine it runs on.
//
// It makes stores of each backend on disks of its own, puts the same questions to all of
// them in turn, and says how sure it is of the answers. Where there is no root or no
// dm-thin, it does so in a virtual machine that it boots for itself. Errors are one
// sentence on standard error; see --help for the exit codes.
package main
