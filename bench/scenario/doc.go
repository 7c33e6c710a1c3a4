// Package scenario has the questions that the benchmark asks, one file each.
//
// [All] lists them, [Find] finds one by name. Content is made from a seed, so that what
// a container shows can be compared with what it should show without keeping a copy.
// What an application sees, an error included, is a result: a rename that gives EXDEV is
// reported as that and is no failure.
//
// A Scenario is a value and safe for concurrent use; its cases run one at a time.
package scenario
