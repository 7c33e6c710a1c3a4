package lifetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/snapshots"
)

// Snapshot is one snapshot as the model has it.
type Snapshot struct {
	Kind    snapshots.Kind
	Parent  string
	Content string // of its file "a"
	Size    uint64 // bytes
}

// World is what a store should hold, by key.
type World map[string]Snapshot

// Sizes of snapshots in the model.
const (
	BaseSize  = 64 << 20 // what the store's base snapshots must have
	blockSize = 64 << 10
)

// Contents is what every snapshot's file holds.
func (w World) Contents() map[string]string {
	c := make(map[string]string, len(w))
	for key, s := range w {
		c[key] = s.Content
	}
	return c
}

// Keys lists the keys in order.
func (w World) Keys() []string { return slices.Sorted(maps.Keys(w)) }

func (w World) children(key string) bool {
	for _, s := range w {
		if s.Parent == key {
			return true
		}
	}
	return false
}

// source is what a child of parent begins with.
func (w World) source(parent string) (Snapshot, error) {
	if parent == "" {
		return Snapshot{Size: BaseSize}, nil
	}
	p, ok := w[parent]
	if !ok {
		return p, snapshots.ErrNotFound
	}
	if p.Kind != snapshots.KindCommitted {
		return p, snapshots.ErrInvalid
	}
	return p, nil
}

// active gives a snapshot that can be written.
func (w World) active(key string) (Snapshot, error) {
	s, ok := w[key]
	if !ok {
		return s, snapshots.ErrNotFound
	}
	if s.Kind != snapshots.KindActive {
		return s, snapshots.ErrInvalid
	}
	return s, nil
}

// Diff says how two worlds differ, "" when they do not.
func (w World) Diff(got World) string {
	var lines []string
	for _, key := range slices.Compact(slices.Sorted(slices.Values(append(w.Keys(), got.Keys()...)))) {
		want, a := w[key]
		have, b := got[key]
		if a != b || want != have {
			lines = append(lines, fmt.Sprintf("%q: wanted %s, found %s", key, describe(want, a), describe(have, b)))
		}
	}
	return strings.Join(lines, "; ")
}

func describe(s Snapshot, there bool) string {
	if !there {
		return "nothing"
	}
	return fmt.Sprintf("%s on %q of %d MiB with %.12q of %d bytes", s.Kind, s.Parent, s.Size>>20, s.Content, len(s.Content))
}
