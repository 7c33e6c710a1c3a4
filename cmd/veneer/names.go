package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/veneerdm/veneer/images/layer"
	"github.com/veneerdm/veneer/internal/bytesize"
)

var words = []string{
	"alder", "ash", "aspen", "beech", "birch", "cedar", "cherry", "ebony", "elm", "hazel", "larch", "linden",
	"maple", "oak", "olive", "pear", "pine", "plum", "poplar", "rowan", "spruce", "teak", "walnut", "willow", "yew",
}

// freshName is a name for a container whose maker gave none.
func freshName() string {
	return fmt.Sprintf("%s-%04d", words[rand.IntN(len(words))], rand.IntN(10000))
}

// change is a changed path for programs.
type change struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
	Size int64  `json:"size"`
}

var changeRows = listing[change]{
	header: []string{"CHANGE", "PATH", "SIZE"},
	row:    func(c change) []string { return []string{c.Kind, c.Path, bytesize.Format(uint64(c.Size))} },
	name:   func(c change) string { return c.Path },
}

func (a *app) printChanges(changes []layer.Change) error {
	rows := make([]change, len(changes))
	for i, c := range changes {
		rows[i] = change{fmt.Sprint(c.Kind), "/" + c.Path, c.Size}
	}
	return show(a, changeRows, rows)
}
