// Package crash does to a store what a bad day does, and looks what is left.
//
// Power cuts: the whole stack, the pool's files and the catalog on one filesystem,
// stands on a dm-log-writes device, which records every write and flush and a mark
// after every operation that was acknowledged. Each recorded flush is then a moment at
// which the power may fail: the disk as it was is put together from the log, the store
// is opened on it, and everything acknowledged before that moment has to be there, with
// its content, and nothing else.
//
// Deaths: the real program is killed after each of its system calls that changes
// something. Disks: the pool's two and the catalog's fail, lie, cannot be read or are
// slow. Full: every one of them has no room left. A day in the life: all at once, for
// as long as one likes.
//
// What was tried and found goes to the table that make test-crash prints.
package crash
