// Package containerd tests Veneer under the distribution's own containerd and runc:
// images are unpacked and containers run on the daemon's snapshots, and either side
// may be killed meanwhile.
package containerd
