// Command image makes two real images from Debian's packages, for demonstrations
// and tests that should not depend on a registry.
//
//	go run ./test/image -out .cache/images/demo.oci
//
// The result is one OCI layout with the images nginx:demo and python:demo. Both
// stand on the same two layers, a minimal Debian and its certificates; the third
// layer of each is its own. So the two images have six layers, of which four are
// stored. The nginx layer deletes documentation of the base, as a careful
// Dockerfile does, and so brings whiteouts; it also holds one large file,
// /srv/data/measurements.csv, to show what changing a few bytes of it costs.
//
// A layout that is there and complete is left as it is. Making it takes about 40
// seconds and needs root, mmdebstrap and the network. Ownership, device nodes,
// hard links, extended attributes and times are the packages' own; times later
// than the archive's release are set to it, so that two makers on one day get the
// same layers.
package main
