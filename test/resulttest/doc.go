// Package resulttest collects what the reliability tests tried and found, for the one
// table that make test-crash ends with. Rows are appended to the file that
// VENEER_RESULTS names; without it they go to the test's log alone. Production code
// must not import it.
package resulttest
