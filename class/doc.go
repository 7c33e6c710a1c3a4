// Package class tells kinds of errors apart: one ordered table that the driver, the
// command's exit code, the daemon's protocol and containerd's all go by.
//
// # Model
//
// A [Class] is an error that others wrap, found with errors.Is. [Of] gives the class of
// any error: the first row of [Table] that fits. Each row has the word that stands for
// it in messages of the daemon, the exit code of a command, and the gRPC code, which
// containerd turns into its own errors.
//
// # Guarantees
//
// The order decides when an error is of several classes, and is the same for everybody:
// a full pool under a snapshot that is not found is a full pool. A class that crosses a
// connection by its word is the same value on the other side.
//
// # Concurrency
//
// Nothing here changes after the program has started.
package class
