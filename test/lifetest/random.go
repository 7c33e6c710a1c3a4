package lifetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/snapshots"
)

// Life makes random operations that keep a world small.
type Life struct {
	R *rand.Rand
	// Prefix begins every key that comes into being.
	Prefix string
	// Most is how many snapshots there should be at most; 0 is 10.
	Most int
	// Wrong is how many of a hundred operations may be ones that fail.
	Wrong int
	// Without are verbs that are not wanted.
	Without []Verb

	made int
}

// weights say how often each verb comes.
var weights = []struct {
	verb Verb
	n    int
}{
	{Prepare, 16}, {Write, 20}, {Commit, 14}, {CommitHeld, 4}, {View, 5}, {Clone, 6}, {CloneHeld, 3}, {Rollback, 8},
	{Resize, 3}, {Remove, 8}, {RemoveHeld, 3}, {Label, 2}, {GrowPool, 1}, {Drain, 2}, {Reopen, 2},
}

// Next gives an operation that fits a world, or now and then one that does not.
func (l *Life) Next(w World) Op {
	for range 1000 {
		o := l.propose(w)
		if o.Verb == Write && w[o.Key].Kind == snapshots.KindView {
			continue // the filesystem refuses, and not the driver
		}
		if _, err := w.Apply(o); err == nil || l.R.IntN(100) < l.Wrong {
			return o
		}
	}
	return Op{Verb: Drain}
}

func (l *Life) verb(w World) Verb {
	most := l.Most
	if most == 0 {
		most = 10
	}
	if len(w) >= most {
		return []Verb{Remove, Remove, RemoveHeld}[l.R.IntN(3)]
	}
	all := 0
	for _, c := range weights {
		all += c.n
	}
	at := l.R.IntN(all)
	for _, c := range weights {
		if at -= c.n; at < 0 {
			return c.verb
		}
	}
	return Drain
}

func (l *Life) propose(w World) Op {
	o := Op{Verb: l.verb(w)}
	if slices.Contains(l.Without, o.Verb) {
		return Op{Verb: Write, Key: l.pick(w)} // the likeliest to fit, or else to be proposed again
	}
	switch o.Verb {
	case Prepare, View:
		o.Key, o.Other = l.fresh(), l.pick(w)
		if o.Verb == Prepare && l.R.IntN(4) == 0 {
			o.Other = ""
		}
	case Clone, CloneHeld:
		o.Key, o.Other = l.fresh(), l.pick(w)
	case Commit, CommitHeld:
		o.Key, o.Other = l.pick(w), l.fresh()
	case Rollback:
		o.Key = l.pick(w)
		if l.R.IntN(2) == 0 {
			o.Other = l.pick(w)
		}
	case Write:
		o.Key, o.Content = l.pick(w), l.content()
	case Resize:
		o.Key = l.pick(w)
		o.Size = w[o.Key].Size + uint64(l.R.IntN(16<<20))
	case Remove, RemoveHeld, Label:
		o.Key = l.pick(w)
		if o.Verb == RemoveHeld && w[o.Key].Kind != snapshots.KindActive {
			o.Verb = Remove
		}
	}
	return o
}

func (l *Life) pick(w World) string {
	keys := w.Keys()
	if len(keys) == 0 || l.R.IntN(50) == 0 && l.Wrong > 0 {
		return l.Prefix + "nobody"
	}
	return keys[l.R.IntN(len(keys))]
}

// fresh is a key, and seldom one that was used before.
func (l *Life) fresh() string {
	if l.made > 0 && l.R.IntN(8) == 0 {
		return fmt.Sprint(l.Prefix, "s", l.R.IntN(l.made))
	}
	l.made++
	return fmt.Sprint(l.Prefix, "s", l.made)
}

func (l *Life) content() string {
	word := fmt.Sprintf("%x ", l.R.Uint64())
	return strings.Repeat(word, 1+l.R.IntN(3000))
}
