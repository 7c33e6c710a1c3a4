package metadata

import (
	"fmt"
	"unicode/utf8"
)

const (
	// MaxLabels is how many bytes the labels of one snapshot have together, LabelCost of
	// each included. A hundred snapshots with so many are sent to containerd in one
	// message, which has 16 MiB at most.
	MaxLabels = 128 << 10
	// LabelCost is what a label counts beside its name and its value.
	LabelCost = 16
)

// validLabels refuses labels that no record could hold, and more than could be listed.
func validLabels(s Snapshot) error {
	size := 0
	for name, value := range s.Labels {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return fmt.Errorf("%w: label %q of %q is not UTF-8", ErrInvalid, name, s.Key)
		}
		size += len(name) + len(value) + LabelCost
	}
	if size > MaxLabels {
		return fmt.Errorf("%w: the labels of %q have %d bytes, and %d are possible; keep less in them", ErrInvalid, s.Key, size, MaxLabels)
	}
	return nil
}
