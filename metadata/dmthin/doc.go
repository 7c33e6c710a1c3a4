// Package dmthin reads the metadata that the kernel keeps of a thin pool: which
// thin devices there are, which data blocks each maps, which of them it has to
// itself and how two devices differ.
//
// # Model
//
// Metadata is 4096-byte blocks. A superblock points to two trees: one maps a
// device's id to its details, the other maps it to the root of the device's own
// tree, which maps virtual blocks to data blocks. Snapshots share tree nodes with
// their origin until one of them is written, so that questions about two devices
// are answered without visiting what they share.
//
// [Open] reads metadata that nobody writes: a file, or the device of a pool that
// is not active. [OpenSnapshot] reads the metadata of a live pool through a
// metadata snapshot, which must be held meanwhile; the live superblock's trees
// change under a reader and must not be followed.
//
// # Guarantees
//
// Nothing is ever written. Every block's checksum, number, kind, bounds and key
// order are verified. Corrupt input of any kind is an error that wraps
// [ErrCorrupt], never a panic, a loop or unbounded memory. Blocks are read once
// per question, neighbours together.
//
// # Concurrency
//
// A [Metadata] is safe for concurrent use as far as its reader is; it has no state
// that changes.
package dmthin
