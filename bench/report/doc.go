// Package report shows a benchmark's result: as a table for a terminal, as one HTML page
// that needs nothing but itself, and as the differences between two results.
//
// Every number carries its interval, every claim of a winner the test behind it; where
// the samples do not allow a claim, the report says so instead. The package computes
// nothing that is not in the result. All functions are safe for concurrent use.
package report
