// Package waittest waits for what a test expects to happen, on machines of any speed.
// What a test waits for is an event; the one bound that there is, Hang, tells a machine
// that is slow from one that hangs, and is long for that reason. Production code must
// not import it.
package waittest
