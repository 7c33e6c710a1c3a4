// Command demo shows what Veneer does, on a real image and a real thin pool: it
// drives the command veneer as a person would, measures what each step cost, and
// leaves nothing behind. It needs root and a kernel with dm-thin: "make demo" runs
// it in the virtual machine where there is none.
package main
