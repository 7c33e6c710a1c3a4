// Package wire is what the daemon and its clients have to agree on beyond the messages:
// the size of a message, how the driver's values become messages and are made of them
// again, and how an error keeps its classes.
package wire
