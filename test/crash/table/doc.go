// Command table prints what the reliability tests tried and found, and ends with
// status 1 when anything was violated, a negative control was not caught, or a kind of
// fault was not tried at all.
//
//	go run ./test/crash/table FILE...
package main
