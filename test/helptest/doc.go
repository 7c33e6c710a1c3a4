// Package helptest holds what a program says of itself against one page, so that a
// change to its face is seen as one.
package helptest
