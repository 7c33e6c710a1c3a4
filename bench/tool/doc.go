// Package tool runs the few programs that have no other form: those that make
// filesystems, and the workloads that readers know by name. It is the only package of
// the benchmark that starts processes.
//
// A program that is missing is one sentence that says what to install. All functions
// are safe for concurrent use.
package tool
