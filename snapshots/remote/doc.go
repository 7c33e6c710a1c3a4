// Package remote lets other processes use a driver that one process has open: the
// daemon registers [Service] on its socket, and a [Client] has the driver's own
// methods. A store has one owner of its catalog; this is how everybody else asks it.
//
// Arguments and answers are JSON in gRPC messages, because both ends are the same
// program. Errors keep their text and their class: errors.Is finds what it finds in
// the daemon. A Client is safe for concurrent use.
package remote
