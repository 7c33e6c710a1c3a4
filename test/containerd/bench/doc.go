// Command bench compares three snapshotters in one run on one machine: Veneer,
// containerd's devmapper and overlayfs. It prints one table of medians and ratios.
//
//	make bench-containerd
//	bin/vm -- bin/bench-containerd [-strict] [-only REGEXP] [-n TIMES] [-rounds TIMES]
//
// # What is measured where
//
// Prepare, commit, view and remove are called in this process, on the three as Go
// packages: containerd's metadata service would remove in the background and hide
// what a removal costs. Devmapper and overlayfs are then those of the containerd
// module that Veneer is built with; the table's notes name the version.
//
// Unpacking an image and starting a container go through the containerd that is
// installed, in one process of it that has all three: devmapper and overlayfs are
// its own, Veneer is a proxy plugin served by "veneer serve".
//
// A chain of 128 layers is made in this process, once on Veneer and once on
// devmapper: prepare, mount, write a small file, unmount and commit each, and mount
// one more on top.
//
// # What is fair
//
// Both pools stand on sparse files as loop devices with direct I/O on the same disk
// as overlayfs's folder, with data and metadata of the same size; devmapper's has
// the features that its documentation gives it, which skip the zeroing of new
// blocks. Veneer's keeps the zeroing, its default. All sides are measured in turn,
// A B C B C A, after a first round that is thrown away.
//
// Every process started costs ten times more under User-Mode Linux than on
// hardware, so the programs that an operation executes are counted and printed
// beside its times.
//
// # Exit status
//
// 0 when everything could be measured; with -strict, 1 when a target was missed.
package main
