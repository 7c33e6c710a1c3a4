// Package stats says what a few samples allow to say: a median, an interval around
// it, and whether two sets of samples differ.
//
// Nothing here assumes a normal distribution: times of a disk have a floor and a long
// tail. Intervals are bootstrapped, differences are tested by ranks (Mann-Whitney U,
// exact where there are no ties). Everything is deterministic: the same samples give
// the same words. All functions are safe for concurrent use.
package stats
