package snapshots

import (
	"maps"
	"time"

	"github.com/veneerdm/veneer/metadata/dmthin"
)

// Kind says what may be done with a snapshot. Kinds are stored and printed as words.
type Kind string

// The kinds of a snapshot.
const (
	// KindActive is a writable snapshot. It has no children.
	KindActive Kind = "active"
	// KindCommitted is a finished snapshot. It never changes again and may have children.
	KindCommitted Kind = "committed"
	// KindView is a read-only look at a committed snapshot. It owns no thin device.
	KindView Kind = "view"
)

// Info describes one snapshot. It is a copy: changing it changes nothing.
type Info struct {
	Key        string            // unique in the store; a committed snapshot's name
	Parent     string            // key of the committed snapshot below, "" for none
	Kind       Kind              // active, committed or view
	Size       uint64            // size of the block device in bytes
	Filesystem string            // a name of package filesystem; "" for a device without a known one
	ThinID     dmthin.ThinID     // thin device that holds the content; a view names its parent's
	Device     string            // path of the block device, whether it is active or not
	Labels     map[string]string // the caller's own words, kept and never interpreted
	Lost       bool              // the pool has lost the content: remove it, or make it again
	Created    time.Time
	Updated    time.Time
}

// Usage is what a snapshot costs, counted from the pool's own block mappings.
type Usage struct {
	// Added is the bytes in blocks that the snapshot does not share with its
	// parent, so also those overwritten in place. It is what the snapshot adds.
	Added uint64
	// Mapped is the bytes in all blocks the snapshot can reach, shared or not.
	Mapped uint64
}

// Option changes how Prepare, View, Commit and Clone make a snapshot.
type Option func(*settings)

type settings struct {
	labels map[string]string
	size   uint64
}

// WithLabels stores labels with the new snapshot, added to those given before.
func WithLabels(labels map[string]string) Option {
	return func(s *settings) {
		if s.labels == nil {
			s.labels = make(map[string]string, len(labels))
		}
		maps.Copy(s.labels, labels)
	}
}

// WithSize asks for a block device of that many bytes. It is rounded up to the
// pool's block size and is never less than the parent's size. The filesystem is
// grown to it.
func WithSize(bytes uint64) Option {
	return func(s *settings) { s.size = bytes }
}

// Settings is what options say together, for programs that pass them on: labels to
// store, and a size in bytes, 0 for none.
func Settings(opts ...Option) (labels map[string]string, size uint64) {
	s := apply(opts)
	return s.labels, s.size
}
