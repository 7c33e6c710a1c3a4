// Package client has the methods of a driver that another process has open: the daemon.
//
// # Model
//
// A [Client] is made by [Dial] and has the methods of snapshots.Driver, with the same
// arguments, results and errors. The daemon does the work; what a method mounts or opens
// is done by the caller, in this process.
//
// # Guarantees
//
// Dial asks who answers, and says in one sentence when the daemon speaks another version
// of the protocol. An error that the daemon has answered keeps its text, its classes and
// its snapshots.OpError. A request that is larger than a message may be is class.Invalid
// and is not sent.
//
// A context that ends, ends the call in the daemon too. The method returns the context's
// error when the daemon has undone what the call had begun, or [Patience] later.
//
// # Concurrency
//
// A Client is safe for concurrent use.
package client
