// Package service is the daemon's side of the protocol: it answers package
// service/api/v1 with the driver of a store, on a unix socket that is root's alone.
//
// # Model
//
// A store has one owner of its catalog and of its images: a command, or the daemon. The
// daemon has [NewServer] with a [Driver] registered by [Register]; containerd's
// snapshots service (package snapshots/proxy) is registered on the same server. Every
// other program asks it through service/client, which has the driver's own methods.
//
// # Guarantees
//
// An error keeps its text, every class of package class that it is of, and its
// snapshots.OpError: errors.Is finds on the client's side what it finds in the daemon.
//
// No message is larger than [MaxMessage], in either direction. Lists come as streams of
// messages of about one MiB, as of one moment; what a client sends that is too large is
// refused before it is sent, with an error that says so.
//
// A call ends when its client cancels it, dies or goes away: its context ends in the
// daemon, and the operation undoes what it had begun. A client that wants to know that
// this has happened asks AwaitEnd. A client that stands still holds up nobody else.
//
// The server looks at who connects: the socket's mode does not hold for a descriptor
// that was passed on.
//
// # Concurrency
//
// Calls run at the same time, each in a goroutine of its own, and share nothing but what
// the driver guards. A list is read as of one moment and holds no lock while it is sent,
// so that reading never waits for writing. Serve ends when every call has ended.
package service
