// Package seccomptest intercepts system calls of a test's thread, so that a test can
// see them in their order and make them fail: the kernel asks a function about each of
// them before it is done (seccomp_unotify(2)). It reaches calls that no interface of
// the code under test has, as fsync.
//
// Only the thread that calls Intercept is concerned. It is locked to the goroutine and
// ends with the test, because a filter cannot be taken off a thread.
package seccomptest
