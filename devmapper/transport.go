package devmapper

import "context"

// Transport carries operations to a device-mapper: the kernel's, or a fake such as
// devmapper/dmtest. It is the lowest seam there is, so that everything above it is
// the same code in a test and in production. Implementations are safe for
// concurrent use. A Client calls Close once, while no other call is under way, and
// nothing after it.
type Transport interface {
	// Control performs the operation with that ioctl number. buf holds a struct
	// dm_ioctl with its payload and receives the reply. The error is a bare
	// syscall.Errno.
	Control(command uint8, buf []byte) error
	// Fork opens another descriptor, with event state of its own, that can wait.
	Fork() (Transport, error)
	// Wait returns when an event has happened since the descriptor was last armed,
	// or with the context's error. It is for what Fork gave.
	Wait(ctx context.Context) error
	Close() error
}
