// Package bench measures ways to give containers writable copies of one image, side
// by side on one machine, and says how sure it is.
//
// # Model
//
// A [Backend] is such a way: thin block snapshots, an overlay of directories, full
// copies. Opened on a fresh [Disk] it is a [Store] of layers and containers. A
// [Scenario] asks one question of every backend; it has [Case]s, which differ in one
// thing, such as the size of a file. [Run] puts the cases to the backends and gives a
// [Result]: raw samples, medians with intervals, the machine they were taken on.
//
// A new backend or scenario is one type in one file; see the packages
// bench/backend and bench/scenario.
//
// # Method
//
// The backends of a case are measured in turn, A B C, B C A, so that whatever drifts
// drifts for all. A first round is thrown away: it fills caches, and it is the round
// in which what the backend shows afterwards is compared with what it should. Before
// each measurement everything is on the disk, and the caches are dropped where cold is
// meant. Bytes are those that the block layer counted below the backend, journals and
// mapping metadata included, until all is on the disk.
//
// A median comes with a bootstrap interval. A backend wins a case only when a rank
// test tells it from every other; when samples scatter too widely for that, the
// verdict is that it is too noisy to tell.
//
// # Concurrency
//
// One Run at a time in a process: two would count each other's writes. A Result is
// plain data.
package bench
