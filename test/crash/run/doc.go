// Command run is the scheduler behind make test-crash and make soak. It builds the test
// binaries that a suite of jobs needs, runs two jobs at once, each in a virtual machine
// of its own or on the host, and ends with one table of what was tried and found.
//
//	crash [flags] [crash|soak]
//
// A job fails when its test binary fails, when it runs longer than its limit, when it
// prints no row of results, or when one of its rows has 0 points, violations or a
// negative control that was not caught. The exit status is then 1, and the end of the
// job's log is printed below the table. A failed job does not keep the others from
// running.
//
// An interrupt or SIGTERM ends the jobs, with their virtual machines, and exits with
// 128 plus the signal's number; a second one kills them. Nothing stays either way: a
// machine ends with the process that started it (see test/vm).
//
// Another job is one more line in jobs.go.
package main
