// Package table prints what the reliability tests tried and found, one row for each
// kind of fault (see package resulttest), and says which rows are not as they should be.
package table
