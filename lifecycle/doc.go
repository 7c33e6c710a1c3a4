// Package lifecycle is the life of a thin device: the states that it can be in, the
// transitions between them, and what is done about whatever a crash or somebody else
// leaves. Nothing here does anything: the catalog, the verbs, the start-up, the doctor
// and the repair ask these tables and have no rules of their own.
//
// # Model
//
// A thin device is known by its id in the pool. Three sources say how it is: the catalog
// has a [State] for it, the pool's metadata has the id or has not, and the kernel has a
// [Device] for it or has not. [Observed] is all three at one moment.
//
// [Transitions] is what verbs do: each [Transition] is a sequence of [Step]s, which are
// catalog writes and kernel operations. [Rows] is what a start and the doctor do: for
// every combination that can be observed there is one [Row] with its [Action]s.
//
// # Guarantees
//
// [Decide] has a row for everything that can be observed. After the actions of a row the
// thin device is in a state that needs no further action. What a crash leaves after any
// step of any transition has a row, which ends in the state before the transition or the
// one after it, or in the trash. No row deletes a thin device that no record knows, and
// none keeps a start from serving everything else. Tests of the package enumerate all of
// this.
//
// # Concurrency
//
// The tables do not change.
package lifecycle
