// Package e2e proves Veneer from the outside: what people do with images and
// containers, on real filesystems and a real kernel.
//
// The tests come in two kinds. Image stories drive the packages and look at the
// result through mounts, through the pool's counters and through the loop file on
// the filesystem below. Bad input drives the built program, and each case holds
// it to the same contract: the documented exit code, one sentence on standard
// error that says what, which and what to do next, and nothing left behind.
//
// Both need a kernel with dm-thin (make test-vm). Images are made on the spot.
// The program is the file that VENEER_BIN names, bin/veneer of this repository
// by default; make builds it first.
package e2e
