// Package dmtest is a device-mapper in memory: a control node that answers the
// bytes of devmapper as Linux 6.1 does, with thin-pool and thin targets that keep
// mappings, share blocks, run out of space and lose commits. It serves tests here
// and in other programs; production code must not import it.
//
// A [Kernel] is a devmapper.Transport. Disks under a pool are announced with
// [Kernel.AddDisk]; what a pool keeps on its metadata disk outlives the pool's
// device, as it does for real, so that [Kernel.Reboot] is a reboot. [Kernel.Open]
// reads and writes a device's content. [Kernel.Inject] fails chosen operations.
//
// A Kernel is safe for concurrent use. It models what a driver can see: names,
// tables, states, errors, mappings and content. It does not model time: a full
// pool in queue mode fails a write at once, as the kernel does after its timeout.
package dmtest
