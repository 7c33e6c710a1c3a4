// Package snapstest is the conformance suite of the snapshot driver, for any
// machine it may run on: [Run] takes what makes a machine, and runs on the fake of
// this package and on a real kernel alike. That is what keeps the fake honest.
//
// [NewFake] is a machine in memory, for tests of whatever stands on the driver.
// Production code must not import this package.
package snapstest
