// Package tool lists the programs of the system that the benchmark runs: those that
// make filesystems, and the workloads that readers know by name. How they are run, and
// what is said of one that is missing, is package command's.
package tool
