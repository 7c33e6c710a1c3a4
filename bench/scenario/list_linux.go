package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/bench"
)

// All are the scenarios, in the order in which they are shown.
func All() []bench.Scenario {
	return []bench.Scenario{
		FirstWrite{}, Changes{}, Metadata{}, Depth{}, Fio{}, Database{}, Work{}, Lifecycle{}, Space{}, Full{},
	}
}

// Find finds a scenario by its name. The error names those that there are.
func Find(name string) (bench.Scenario, error) {
	all := All()
	i := slices.IndexFunc(all, func(s bench.Scenario) bool { return s.Summary().Name == name })
	if i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Summary().Name)
	}
	return nil, fmt.Errorf("there is no scenario %q; there are %s", name, strings.Join(names, ", "))
}
