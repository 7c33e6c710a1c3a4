// Package proxy makes the driver a containerd snapshotter: a Go program can use it
// as one, and [Register] offers it over gRPC as a proxy plugin.
//
// A [Snapshotter] keeps nothing of its own; it says the driver's words in
// containerd's. Errors carry errdefs classes, so that they cross gRPC. Mounts are
// plain (a filesystem type, a device, "ro" and "nouuid"), because Kata and
// Firecracker hand the device to a virtual machine. Remove answers as soon as it is
// recorded, whatever is busy or full; Cleanup waits for the space.
//
// Labels that mean something: containerd.io/snapshot/max-size is the size of the
// device, containerd.io/snapshot/uidmapping and gidmapping make idmapped mounts.
//
// It is safe for concurrent use.
package proxy
