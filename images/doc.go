// Package images brings OCI images into snapshots and out of them again.
//
// # In
//
// Import takes an image from an OCI layout (a directory or a tar), from what
// docker save writes, from a registry, or from the content store of a containerd
// on this machine. Every layer becomes one committed snapshot of the layer below. Its
// key is the layer's ChainID, the digest of the layer together with all below it; so
// the same content is stored once, whatever image brings it.
//
// Blobs - compressed layers, configurations, manifests - are kept as they came
// (package content), so that Save and Push give them back byte for byte.
//
// # Out
//
// Commit makes an image of what a container, a writable snapshot, has changed.
// SaveDir, SaveArchive and Push hand images on. Changes lists what a container
// has changed, History, DiskUsage and Tree show what there is.
//
// # What holds
//
//   - A layer's blob and its content are verified before the layer is committed.
//     Until then its snapshot has another key, so half a layer is never visible.
//   - A process that dies at any point leaves only things that are picked up by the
//     next import of the image or removed by Collect.
//   - An image is removed in an order that never leaves a record without its
//     layers.
//   - Nothing of a layer can reach outside its snapshot; see package layer.
//   - Import needs a few tens of megabytes of memory, however large the layers.
//
// # Concurrency
//
// A Store is safe for concurrent use. Two imports that need the same blob or
// layer do the work once; an import and a removal do not take each other's layers
// away. No lock is held over the network or a disk but the one of the blob or
// layer at work.
package images
