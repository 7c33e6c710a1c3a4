// Package containerd tests Veneer under the distribution's own containerd and runc,
// and under containerd 2: images are unpacked, and containers and Kubernetes' pods run
// on the daemon's snapshots, and either side may be killed meanwhile. What configures
// them are the samples of packaging, as they are.
package containerd
