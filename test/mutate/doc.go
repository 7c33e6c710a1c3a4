// Command mutate measures how much of a package's behaviour its own tests hold on
// to: it changes one operator at a time, runs the package's tests and counts the
// changes that no test notices.
//
//	make mutate PKG=./metadata/dmthin
//
// The mutants are those of gremlins, whose version is pinned in
// test/tools/gremlins: it finds them, applies them to copies of the tree and says
// what became of each. mutate copies the tree for it, without what was built or
// downloaded, and stands in for the go command that gremlins runs, because three
// things have to be exact:
//
//   - A mutant that does not compile is not viable. The go command ends with the
//     same status for that and for a failed test, so the stand-in builds the test
//     program first.
//   - A case of a switch, a loop's condition or a package's constant stands in no
//     block of a coverage profile. The stand-in has every mutant tried, and the
//     profile only decides what a survivor is called.
//   - A test program is stopped by the processor time that it used, ten times what
//     the tests need without a mutant, so a slow or a busy machine stops no more
//     mutants than a fast one. One that waits for ever is stopped by the clock,
//     after ten times as long and a minute. Either is tried a second time with twice
//     the limit before it counts as timed out.
//
// The original is tried in each of gremlins' copies too, so that nothing but the
// mutants can be why tests fail there.
//
// A mutant is a change of the syntax tree: the operands of the new operator are those
// of the old one, whatever its precedence.
//
// A mutant that timed out counts as killed: tests end within a tenth of the limit
// when nothing is mutated, so it is in an endless loop, or waits for what never
// comes, and no run of the tests would end well.
//
// As root, test programs run in a mount namespace in which all but their own
// temporary folder is read-only: a mutant of code that unpacks hostile archives
// may write where it likes.
//
// Survivors that no test can tell from the original are listed in equivalent.txt
// with the reason. An entry that does not name a survivor is an error.
package main
