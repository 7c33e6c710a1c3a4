// Package veneerv1 is version 1 of the daemon's protocol: the messages and the methods
// of veneer.proto, in code that "make proto" writes.
//
// # Model
//
// One service, veneer.v1.Veneer, over gRPC on a unix socket. Package service answers it
// with the driver, and package service/client asks it with the driver's own methods; a
// program in another language needs veneer.proto alone.
//
// # Guarantees
//
// Within the version, methods and fields are added and never change their number or
// their meaning. What could make an old and a new side misunderstand each other becomes
// version 2, under another name.
//
// # Concurrency
//
// Messages are plain values, for one goroutine at a time. Clients and servers of the
// generated code are safe for concurrent use.
package veneerv1
