package backend

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/snapshots/filesystem"
)

// All are the backends, in the order in which they are shown.
func All() []bench.Backend {
	thin := []bench.Backend{Thin{}}
	for _, name := range filesystem.Names() {
		if name != filesystem.Default {
			thin = append(thin, Thin{Filesystem: name})
		}
	}
	return append(thin,
		Thin{BlockSize: 128 << 10}, Thin{BlockSize: 256 << 10}, Thin{BlockSize: 512 << 10}, Thin{BlockSize: 1 << 20},
		Overlay{}, Overlay{Variant: Metacopy}, Overlay{Variant: RedirectDir}, Overlay{Variant: Volatile},
		Btrfs{}, Reflink{}, Copy{}, ZFS{}, FuseOverlay{}, Aufs{},
	)
}

// Usual are the names of those that are measured when none are named.
var Usual = []string{"thin", "overlay", "btrfs", "reflink", "copy"}

// Find finds a backend by its name. The error names those that there are.
func Find(name string) (bench.Backend, error) {
	all := All()
	i := slices.IndexFunc(all, func(b bench.Backend) bool { return b.About().Name == name })
	if i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, b := range all {
		names = append(names, b.About().Name)
	}
	return nil, fmt.Errorf("there is no backend %q; there are %s", name, strings.Join(names, ", "))
}
