package lifetest

import (
	"fmt"
	"maps"

	"github.com/veneerdm/veneer/snapshots"
)

// Verb says what an operation does.
type Verb string

// The verbs of a life.
const (
	Prepare    Verb = "prepare"
	Write      Verb = "write"
	Commit     Verb = "commit"
	CommitHeld Verb = "commit held" // while it is mounted
	View       Verb = "view"
	Clone      Verb = "clone"
	CloneHeld  Verb = "clone held"
	Rollback   Verb = "rollback"
	Resize     Verb = "resize"
	Remove     Verb = "remove"
	RemoveHeld Verb = "remove held"
	Label      Verb = "label"
	GrowPool   Verb = "grow pool"
	Drain      Verb = "drain"
	Reopen     Verb = "reopen" // the process ends, and another one starts
)

// Op is one operation.
type Op struct {
	Verb    Verb
	Key     string // that comes into being or changes
	Other   string // parent, original, new name or what to go back to
	Content string // to write
	Size    uint64 // bytes
}

func (o Op) String() string {
	s := fmt.Sprintf("%s %s", o.Verb, o.Key)
	if o.Other != "" {
		s += " (" + o.Other + ")"
	}
	return s
}

// Apply gives the world after an operation, and the class of error that the driver
// has to answer it with, nil for none. An operation that fails changes nothing.
func (w World) Apply(o Op) (World, error) {
	next := maps.Clone(w)
	set := func(key string, s Snapshot, err error) (World, error) {
		if err != nil {
			return w, err
		}
		next[key] = s
		return next, nil
	}
	_, exists := w[o.Key]
	switch o.Verb {
	case Prepare, View:
		s, err := w.source(o.Other)
		if err == nil && exists {
			err = snapshots.ErrExists
		}
		s.Kind, s.Parent = snapshots.KindActive, o.Other
		if o.Verb == View {
			s.Kind = snapshots.KindView
		}
		return set(o.Key, s, err)
	case Write:
		s, err := w.active(o.Key)
		s.Content = o.Content
		return set(o.Key, s, err)
	case Clone, CloneHeld:
		s, err := w.active(o.Other)
		if err == nil && exists {
			err = snapshots.ErrExists
		}
		return set(o.Key, s, err)
	case Commit, CommitHeld:
		s, err := w.active(o.Key)
		if _, taken := w[o.Other]; err == nil && taken && o.Other != o.Key {
			err = snapshots.ErrExists
		}
		delete(next, o.Key)
		s.Kind = snapshots.KindCommitted
		return set(o.Other, s, err)
	case Rollback:
		return w.rollback(o)
	case Resize:
		s, err := w.active(o.Key)
		size := (o.Size + blockSize - 1) / blockSize * blockSize
		if err == nil && size < s.Size {
			err = snapshots.ErrInvalid
		}
		s.Size = size
		return set(o.Key, s, err)
	case Remove, RemoveHeld:
		if !exists {
			return w, snapshots.ErrNotFound
		}
		if w.children(o.Key) {
			return w, snapshots.ErrInUse
		}
		delete(next, o.Key)
		return next, nil
	case Label:
		if !exists {
			return w, snapshots.ErrNotFound
		}
	}
	return next, nil
}

func (w World) rollback(o Op) (World, error) {
	s, err := w.active(o.Key)
	if err != nil {
		return w, err
	}
	var from Snapshot
	if o.Other == "" {
		from, err = w.source(s.Parent)
	} else if to, ok := w[o.Other]; ok {
		from = to
	} else {
		err = snapshots.ErrNotFound
	}
	if err != nil {
		return w, err
	}
	s.Content, s.Size = from.Content, max(s.Size, from.Size)
	next := maps.Clone(w)
	next[o.Key] = s
	return next, nil
}
